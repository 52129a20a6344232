"""A Griffe extension: what a pydantic field's ``description`` says becomes its documentation in the API reference."""

from __future__ import annotations

import ast
import importlib
from typing import Any

import griffe


class FieldDescriptions(griffe.Extension):
    """Give each attribute that is ``Field(description="...")`` this text, and its default as the value."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **kwargs: Any) -> None:
        """Read the call to ``Field``; an attribute with a docstring of its own stays as it is."""
        call = _field_call(attr)
        if call is None:
            return
        named = {keyword.arg: keyword.value for keyword in call.keywords}
        described = named.get("description")
        if attr.docstring is None and described is not None:
            attr.docstring = griffe.Docstring(_text(described, attr), parent=attr)
        default, factory = call.args[0] if call.args else named.get("default"), named.get("default_factory")
        attr.value = f"{ast.unparse(factory)}()" if factory else ast.unparse(default) if default else None


def _text(described: ast.expr, attr: griffe.Attribute) -> str:
    """Return a description; one that is not written out, such as an f-string, is that of the class itself."""
    try:
        return str(ast.literal_eval(described))
    except ValueError:
        assert attr.parent is not None
        owner = getattr(importlib.import_module(attr.module.path), attr.parent.name)
        return str(owner.model_fields[attr.name].description)


def _field_call(attr: griffe.Attribute) -> ast.Call | None:
    text = str(attr.value) if attr.value is not None else ""
    if not text.startswith("Field("):
        return None
    call = ast.parse(text, mode="eval").body
    return call if isinstance(call, ast.Call) else None
