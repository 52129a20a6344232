"""The search space: its axes, the configuration at a point of it, and the lines of cl.yaml for that point."""

from __future__ import annotations

from typing import Any

import yaml

from cl.config import Axis, Config, PluginSpec, Range, parse
from cl.config.ladder import RUNG_TRAINING_KEYS
from cl.errors import ConfigError

Point = dict[str, Any]
DEFAULT_AXES: dict[str, Axis] = {
    "training.epochs": Range(low=1, high=8),
    "training.learning_rate": Range(low=1e-5, high=1e-3, log=True),
    "training.head_learning_rate": Range(low=3e-4, high=1e-2, log=True),
}


def search_axes(config: Config, rung: str | None) -> dict[str, Axis]:
    """Return the axes to search at a rung: ``tune.space``, or the default axes for this kind of update.

    Raises:
        ConfigError: a key does not exist in this update.
    """
    rung_config = config.at_rung(rung)
    axes = config.tune.space or _default_axes(rung_config)
    for key in axes:
        if rung is not None and key.startswith("training.") and key.split(".")[1] not in RUNG_TRAINING_KEYS:
            raise ConfigError(f"tune.space: '{key}': of training, a rung can set only {', '.join(RUNG_TRAINING_KEYS)}")
    for key, axis in axes.items():
        for value in axis if isinstance(axis, list) else (axis.low, axis.high):
            config_at(rung_config, {key: value})
    return axes


def config_at(config: Config, point: Point) -> Config:
    """Return a configuration with the values of a point.

    Raises:
        ConfigError: a key does not exist in the configuration, or a value is out of bounds.
    """
    raw = config.model_dump(mode="json", by_alias=True)
    strategies = [_mapping(spec) for spec in config.strategies]
    for key, value in point.items():
        part, _, rest = key.partition(".")
        if part == "training":
            raw["training"][rest] = value
        elif part == "tuning":
            raw["model"]["tuning"] = _mapping(raw["model"]["tuning"]) | {rest: value}
        elif part == "strategy":
            name, _, field = rest.partition(".")
            strategy = next((strategy for strategy in strategies if strategy["name"] == name), None)
            if strategy is None:
                present = ", ".join(strategy["name"] for strategy in strategies)
                raise ConfigError(f"tune.space: '{key}': this update has no strategy '{name}'; it has: {present}")
            strategy[field] = value
        else:
            raise ConfigError(
                f"tune.space: '{key}': a key must begin with training., tuning. or strategy.NAME., "
                "such as training.epochs"
            )
    raw["strategy"] = strategies if len(strategies) > 1 else strategies[0]
    return parse(raw, where="tune.space")


def current_values(config: Config, space: dict[str, Axis]) -> Point:
    """Return the current values of a configuration, as far as they are set and lie in the space."""
    raw = config.model_dump(mode="json", by_alias=True)
    known: Point = {f"training.{key}": value for key, value in raw["training"].items()}
    known |= {f"tuning.{key}": value for key, value in dict(config_fields(config.model.tuning, "tunings")).items()}
    for spec in config.strategies:
        fields = config_fields(spec, "strategies")
        known |= {f"strategy.{fields['name']}.{key}": value for key, value in fields.items()}
    return {key: known[key] for key, axis in space.items() if key in known and _within(axis, known[key])}


def config_fields(spec: PluginSpec, folder: str) -> dict[str, Any]:
    """Return a plug-in's name and all its fields, including defaults."""
    from cl import plugins

    built = plugins.build(folder, spec)
    return {"name": built.name, **{field: getattr(built, field) for field in type(built).model_fields}}


def config_fragment(config: Config, rung: str | None, point: Point) -> str:
    """Return the top-level keys of cl.yaml that hold a point, complete, to be pasted over the present ones."""
    tuned = config_at(config.at_rung(rung), point)
    touched = {key.partition(".")[0] for key in point}
    lines: dict[str, Any] = {}
    if rung is None:
        given = config.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        if "training" in touched:
            chosen = {key.partition(".")[2]: value for key, value in point.items() if key.startswith("training.")}
            lines["training"] = given.get("training", {}) | chosen
        if "strategy" in touched:
            lines["strategy"] = tuned.strategy
        if "tuning" in touched:
            lines["model"] = given.get("model", {}) | {"tuning": tuned.model.tuning}
    else:
        lines["ladder"] = [step.model_dump(mode="json", exclude_none=True) for step in config.ladder]
        entry = next(entry for entry in lines["ladder"] if entry["name"] == rung)
        entry |= {key.partition(".")[2]: value for key, value in point.items() if key.startswith("training.")}
        entry |= {"strategy": tuned.strategy} if "strategy" in touched else {}
        entry |= {"tuning": tuned.model.tuning} if "tuning" in touched else {}
    parse(config.model_dump(mode="json", by_alias=True) | lines, where="the best settings")
    return yaml.safe_dump(lines, sort_keys=False, default_flow_style=None, width=118)


def _default_axes(config: Config) -> dict[str, Axis]:
    if solver := config.closed_form:
        return {f"strategy.{solver.name}.layers": [1, 2, 3, 4]}
    space = dict(DEFAULT_AXES)
    if "learning_rate" in config_fields(config.model.tuning, "tunings"):  # a tuning with its own learning rate
        del space["training.learning_rate"]
        space["tuning.learning_rate"] = Range(low=1e-4, high=1e-2, log=True)
    return space


def _mapping(spec: PluginSpec) -> dict[str, Any]:
    return {"name": spec} if isinstance(spec, str) else dict(spec)


def _within(axis: Axis, value: Any) -> bool:
    if isinstance(axis, list):
        return value in axis
    return isinstance(value, int | float) and axis.low <= value <= axis.high
