"""A folder is a registry: the file's name is the plug-in's name in the configuration.

``strategies/ewc.py`` holds one class that derives from ``strategies.Strategy``; a configuration that
says ``{name: ewc, strength: 100}`` gets that class with that field, imported on first use.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from typing import Any

from pydantic import BaseModel, ConfigDict

from cl.errors import UnknownPluginError


class Plugin(BaseModel):
    """Base of every plug-in: its fields are its configuration, checked and immutable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def name(self) -> str:
        """The name that the configuration uses: the name of the file."""
        return type(self).__module__.rsplit(".", 1)[-1]


def names(folder: str) -> list[str]:
    """Return the names of all plug-ins in a folder such as ``strategies``, sorted."""
    package = importlib.import_module(f"cl.{folder}")
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def find(folder: str, name: str) -> type[Any]:
    """Return the plug-in class of ``cl/<folder>/<name>.py``.

    Raises:
        UnknownPluginError: no such file; the message lists the names there are.
    """
    known = names(folder)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise UnknownPluginError(f"no {singular(folder)} '{name}'; {hint}there are: {', '.join(known)}")
    module = importlib.import_module(f"cl.{folder}.{name}")
    own = [
        member
        for member in vars(module).values()
        if inspect.isclass(member) and issubclass(member, Plugin) and member.__module__ == module.__name__
    ]
    assert len(own) == 1, f"{module.__name__} must hold exactly one plug-in class, holds {len(own)}"
    return own[0]


def build(folder: str, spec: str | dict[str, Any]) -> Any:
    """Return the plug-in that a configuration entry describes, its fields validated.

    Args:
        folder: ``strategies``, ``gates``, ...
        spec: a name, or a mapping with ``name`` and the plug-in's fields.

    Raises:
        UnknownPluginError: there is no plug-in of that name.
        pydantic.ValidationError: a field is unknown or has a wrong value.
    """
    fields = {"name": spec} if isinstance(spec, str) else dict(spec)
    return find(folder, str(fields.pop("name", "")))(**fields)


def singular(folder: str) -> str:
    """Return the word for one plug-in of a folder: ``strategies`` gives ``strategy``."""
    return folder[:-3] + "y" if folder.endswith("ies") else folder[:-1]
