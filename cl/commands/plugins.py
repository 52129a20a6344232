"""`cl plugins`: the available plug-ins and where they come from."""

from __future__ import annotations

from typing import Any

from cl import plugins
from cl.errors import InputError, PluginError


def list_plugins(kind: str | None = None) -> list[dict[str, Any]]:
    """Return each plug-in's kind, name, origin and summary, sorted by kind and name.

    A plug-in of another package that cannot be loaded is listed with its error.

    Raises:
        InputError: there is no such kind.
    """
    if kind is not None and kind not in plugins.KINDS:
        raise InputError(f"--kind {kind}: no such kind of plug-in; there are: {', '.join(plugins.KINDS)}")
    return [
        {"kind": origin.kind, "name": origin.name, "from": origin.distribution, "summary": _summary(origin)}
        for name in ([kind] if kind else plugins.KINDS)
        for origin in plugins.origins(name)
    ]


def _summary(origin: plugins.Origin) -> str:
    try:
        plugin = plugins.find(origin.kind, origin.name)
    except PluginError as error:
        return f"cannot be loaded: {error}"
    return ((plugin.__doc__ or "").strip().splitlines() or [""])[0]
