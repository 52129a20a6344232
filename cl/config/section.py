"""Base class of configuration sections, and the check of plug-in entries."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from cl import plugins
from cl.config.messages import explain
from cl.errors import PluginError, UnknownPluginError

PluginSpec = str | dict[str, Any]


class Section(BaseModel):
    """Base class of all configuration sections: immutable; unknown keys, NaN and infinity are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def check_plugin(kind: str, spec: PluginSpec) -> PluginSpec:
    """Build a plug-in once, so that a wrong name or field is reported when the configuration is read.

    Raises:
        ValueError: there is no such plug-in, or one of its fields is wrong (pydantic adds the key).
    """
    try:
        plugins.build(kind, spec)
    except (UnknownPluginError, PluginError) as error:
        raise ValueError(str(error)) from None
    except ValidationError as error:
        name = spec if isinstance(spec, str) else spec.get("name")
        raise ValueError(
            f"{plugins.KINDS[kind].word} '{name}': {explain(error, plugins.find(kind, str(name)))}"
        ) from None
    return spec
