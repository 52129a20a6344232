"""The one configuration: a typed model read from YAML; every field has a default that works."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from cl import plugins
from cl.complaints import explain
from cl.errors import ConfigError
from cl.redact import without_password
from cl.settings import (
    Data,
    Decide,
    Distil,
    DriftSettings,
    EvaluationSettings,
    GatePolicy,
    Model,
    PluginSpec,
    PromotionSettings,
    RegistrySettings,
    Rung,
    Section,
    StoreSettings,
    TrainingSettings,
    Triggers,
    Validate,
    check_plugin,
)

DEFAULT_GATES: list[PluginSpec] = [
    {"name": "floor", "min": 0.5},
    {"name": "no_regression", "margin": 0.02},
    {"name": "forgetting", "max": 0.05},
]


# where things are, and who is told: of no weight for the outcome, and where addresses and secrets stand
PLACES: Any = {"stores": True, "registry": True, "triggers": True, "data": {"source"}}


class Config(Section):
    """Everything that decides what a cycle does."""

    name: str = Field("model", pattern=r"^[A-Za-z0-9_-]+$", description="Name of the model in the registry")
    seed: int = Field(17, ge=0, description="One seed, one result")
    task: PluginSpec = Field("text_classification", description="What is predicted; a file in cl/tasks")
    data: Data = Field(default_factory=lambda: Data(), description="Rows and columns")
    validate_: Validate = Field(
        default_factory=lambda: Validate(), alias="validate", description="The batch as a whole"
    )
    model: Model = Field(default_factory=lambda: Model(), description="The pretrained encoder")
    training: TrainingSettings = Field(default_factory=lambda: TrainingSettings(), description="Fine-tuning")
    strategy: PluginSpec | list[PluginSpec] = Field(
        "replay", description="How it learns without forgetting: one or several files of cl/strategies"
    )
    ladder: list[Rung] = Field(
        [],
        description="Ways to learn, the cheapest first; a decision names one; []: strategy and model.tuning alone",
    )
    drift: DriftSettings = Field(default_factory=lambda: DriftSettings(), description="Drift detection")
    decide: Decide = Field(default_factory=lambda: Decide(), description="The decision to learn")
    evaluation: EvaluationSettings = Field(
        default_factory=lambda: EvaluationSettings(), description="What is measured beside scores"
    )
    gates: list[PluginSpec] = Field(DEFAULT_GATES, description="Rules that a challenger must pass; files of cl/gates")
    gate_policy: GatePolicy = Field(default_factory=lambda: GatePolicy(), description="What verdicts are worth")
    promotion: PromotionSettings = Field(
        default_factory=lambda: PromotionSettings(), description="What becomes of a challenger that passed"
    )
    distil: Distil = Field(default_factory=lambda: Distil(), description="Cheaper versions, when they are needed")
    stores: StoreSettings = Field(default_factory=lambda: StoreSettings(), description="Where things are kept")
    registry: RegistrySettings = Field(default_factory=lambda: RegistrySettings(), description="What `cl gc` keeps")
    triggers: Triggers = Field(default_factory=lambda: Triggers(), description="What starts a cycle by itself")

    @field_validator("task")
    @classmethod
    def _task_exists(cls, spec: PluginSpec) -> PluginSpec:
        return check_plugin("tasks", spec)

    @field_validator("gates")
    @classmethod
    def _gates_exist(cls, specs: list[PluginSpec]) -> list[PluginSpec]:
        return [check_plugin("gates", spec) for spec in specs]

    @field_validator("strategy")
    @classmethod
    def _strategies_exist(cls, spec: PluginSpec | list[PluginSpec]) -> PluginSpec | list[PluginSpec]:
        for one in spec if isinstance(spec, list) else [spec]:
            check_plugin("strategies", one)
        return spec

    @model_validator(mode="after")
    def _detectors_exist(self) -> Config:
        for spec in self.drift.detectors:
            check_plugin("detectors", spec)
        return self

    @model_validator(mode="after")
    def _strategies_go_together(self) -> Config:
        names = [strategy.name for strategy in self.built]
        if len(set(names)) < len(names):
            raise ValueError(f"strategy: {', '.join(names)}: each may be listed once")
        for strategy in self.built:
            if objection := strategy.objection(self):
                raise ValueError(f"strategy: {strategy.name}: {objection}")
        return self

    @model_validator(mode="after")
    def _control_arm_can_be_trained(self) -> Config:
        if self.training.control and (closed := [one.name for one in self.built if one.closed]):
            raise ValueError(
                f"training.control: a naive arm cannot be trained from the head that '{closed[0]}' solves for; "
                "set it to null, or choose a strategy that trains"
            )
        return self

    @model_validator(mode="after")
    def _rungs_can_be_climbed(self) -> Config:
        names = [rung.name for rung in self.ladder]
        if len(set(names)) < len(names):
            raise ValueError(f"ladder: {', '.join(names)}: each name may be given once")
        for kind, name in self.decide.rung:
            if name is not None and name not in names:
                raise ValueError(f"decide.rung.{kind}: no rung '{name}'; there are: {', '.join(names) or 'none'}")
        closed = {name: [one for one in self.at(name).built if one.closed] for name in names}
        if any(closed.values()) and not all(closed.values()):
            trained = next(name for name, found in closed.items() if not found)
            raise ValueError(
                f"ladder: '{trained}' trains a head and another rung solves for it; a head that was solved for "
                "cannot be trained on: make all rungs of one kind"
            )
        return self

    def at(self, rung: str | None) -> Config:
        """Return the configuration of an update at a rung of the ladder; None: as it stands.

        Raises:
            ValueError: what the rung says does not go together.
        """
        if rung is None:
            return self
        wanted = next(one for one in self.ladder if one.name == rung)
        raw = self.model_dump(mode="json", by_alias=True) | {"ladder": []}
        raw["decide"] |= {"rung": {}}
        if wanted.strategy is not None:
            raw["strategy"] = wanted.strategy
        if wanted.tuning is not None:
            raw["model"] |= {"tuning": wanted.tuning}
        if wanted.epochs is not None:
            raw["training"] |= {"epochs": wanted.epochs}
        try:
            return Config.model_validate(raw)
        except ValidationError as error:
            raise ValueError(f"ladder: '{rung}': {explain(error, Config)}") from None

    @property
    def built(self) -> list[Any]:
        """The strategies themselves, in the order in which their hooks run."""
        return [plugins.build("strategies", spec) for spec in self.strategies]

    @property
    def strategies(self) -> list[PluginSpec]:
        """The strategy entry as a list, in the order in which the hooks run."""
        return self.strategy if isinstance(self.strategy, list) else [self.strategy]

    @property
    def every_strategy(self) -> list[PluginSpec]:
        """The strategies of the configuration and of each rung of its ladder."""
        listed = [self.strategy, *(one.strategy for one in self.ladder if one.strategy is not None)]
        return [one for found in listed for one in (found if isinstance(found, list) else [found])]

    @property
    def recorded(self) -> dict[str, Any]:
        """The configuration as a version keeps it: without what names places, and may hold a password."""
        return self.model_dump(mode="json", by_alias=True, exclude=PLACES)

    def flat(self) -> dict[str, str]:
        """Return the configuration under dotted keys, without stores and triggers: as MLflow shows parameters."""
        nested = self.recorded
        flat = {
            f"{key}.{name}" if isinstance(value, dict) else key: one
            for key, value in nested.items()
            for name, one in (value.items() if isinstance(value, dict) else [(key, value)])
        }
        return {key: one if isinstance(one, str) else json.dumps(one) for key, one in flat.items()}

    @property
    def digest(self) -> str:
        """Hash of all that decides the outcome of a cycle: not of where things are stored, nor of who starts it."""
        left_out = {**PLACES, "data": {"source", "chunk_rows"}}
        decisive = self.model_dump(mode="json", by_alias=True, exclude=left_out)
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def load(path: Path, overrides: dict[str, Any] | None = None) -> Config:
    """Read a configuration file.

    Args:
        path: a YAML file.
        overrides: dotted keys that win over the file, such as ``{"training.epochs": 2}``.

    Raises:
        ConfigError: the file is missing, is no YAML, or holds a wrong key or value; one line says which.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration; `cl init DIR` writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {without_password(' '.join(str(error).split()))}") from None
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: must hold keys and values, holds a {type(raw).__name__}")
    for dotted, value in (overrides or {}).items():
        _set(raw, dotted.split("."), value)
    return parse(raw, where=str(path))


def parse(raw: dict[str, Any], *, where: str) -> Config:
    """Validate a mapping; ``where`` names its origin in errors.

    Raises:
        ConfigError: a key is unknown (the nearest right one is named) or a value is out of bounds.
    """
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{where}: {without_password(explain(error, Config))}") from None


def _set(raw: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        raw = raw.setdefault(key, {})
        if not isinstance(raw, dict):
            raise ConfigError(f"--set {'.'.join(keys)}: '{key}' holds a value, not keys")
    raw[keys[-1]] = value
