"""The configuration reference and JSON schema, generated from the configuration model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from cl import plugins
from cl.config import Config


def configuration_reference() -> str:
    """Return Markdown tables of every key and of every plug-in with its fields; each task has a page of its own."""
    lines = ["| key | default | what it does |", "|---|---|---|", *_rows(Config, "")]
    for kind in (kind for kind in plugins.KINDS if kind != "tasks"):
        lines += ["", f"**{kind}**", "", "| name | fields (default) | what it is |", "|---|---|---|"]
        for name in plugins.names(kind):
            plugin = plugins.find(kind, name)
            fields = ", ".join(f"{key} ({_default(field)})" for key, field in plugin.model_fields.items())
            lines.append(f"| `{name}` | {fields} | {(plugin.__doc__ or '').strip().splitlines()[0]} |")
    return "\n".join(lines)


def configuration_schema() -> dict[str, Any]:
    """Return the JSON schema of cl.yaml; a plug-in is given by its name, or by its name with its fields."""
    schema = Config.model_json_schema(by_alias=True)
    schema["title"] = "cl.yaml of Perennial"
    known = {kind: sorted(plugins.names(kind)) for kind in plugins.KINDS}
    schema["properties"]["task"]["examples"] = known["tasks"]
    for key, kind in (("strategy", "strategies"), ("gates", "gates")):
        schema["properties"][key]["examples"] = known[kind]
    return schema


def _rows(section: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _rows(field.annotation, f"{key}.")
        else:
            yield f"| `{key}` | {_default(field)} | {field.description or ''} |"


def _default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    return "required" if field.is_required() else f"`{'null' if value is None else value}`"
