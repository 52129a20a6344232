"""The one configuration: a typed model read from YAML; every field has a default that works."""

from __future__ import annotations

import difflib
import hashlib
import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from cl import plugins
from cl.config.compression import CompressionSettings
from cl.config.data import DataSettings, ValidationSettings
from cl.config.decision import DecisionSettings
from cl.config.drift import DriftSettings
from cl.config.evaluation import EvaluationSettings
from cl.config.gating import GatePolicy
from cl.config.ladder import LadderSettings, Rung
from cl.config.messages import explain
from cl.config.monitoring import TriggerSettings
from cl.config.promotion import PromotionSettings
from cl.config.registry import RegistrySettings
from cl.config.search import TuneSettings
from cl.config.section import PluginSpec, Section, check_plugin
from cl.config.serving import ServingSettings
from cl.config.stores import StoreSettings
from cl.config.training import ModelSettings, TrainingSettings
from cl.config.yaml import read_yaml
from cl.errors import ConfigError
from cl.records.evaluation import STORED
from cl.redaction import without_password

DEFAULT_GATES: list[PluginSpec] = [
    {"name": "floor", "min": 0.5},
    {"name": "no_regression", "margin": 0.02},
    {"name": "forgetting", "max": 0.05},
]


# where things are, and who is told: of no weight for the outcome, and where addresses and secrets stand
PLACES: Any = {
    "stores": True,
    "registry": True,
    "triggers": True,
    "serve": True,
    "data": {"source"},
    "drift": {"traffic"},
}


class Config(Section):
    """Everything that decides what a cycle does."""

    name: str = Field("model", pattern=r"^[A-Za-z0-9_-]+$", description="Name of the model in the registry")
    seed: int = Field(17, ge=0, description="One seed, one result")
    task: PluginSpec = Field("text_classification", description="What is predicted; a file in cl/tasks")
    data: DataSettings = Field(default_factory=lambda: DataSettings(), description="Rows and columns")
    validate_: ValidationSettings = Field(
        default_factory=lambda: ValidationSettings(), alias="validate", description="The batch as a whole"
    )
    model: ModelSettings = Field(default_factory=lambda: ModelSettings(), description="The pretrained encoder")
    training: TrainingSettings = Field(default_factory=lambda: TrainingSettings(), description="Fine-tuning")
    strategy: PluginSpec | list[PluginSpec] = Field(
        "replay", description="How it learns without forgetting: one or several files of cl/training/strategies"
    )
    ladder: list[Rung] = Field(
        [],
        description="Ways to learn, the cheapest first: an update climbs until one passes all gates; []: strategy and "
        "model.tuning alone",
    )
    climb: LadderSettings = Field(default_factory=lambda: LadderSettings(), description="The way up the ladder")
    tune: TuneSettings = Field(default_factory=lambda: TuneSettings(), description="The search for better settings")
    drift: DriftSettings = Field(default_factory=lambda: DriftSettings(), description="Drift detection")
    decide: DecisionSettings = Field(default_factory=lambda: DecisionSettings(), description="The decision to learn")
    evaluation: EvaluationSettings = Field(
        default_factory=lambda: EvaluationSettings(), description="What is measured beside scores"
    )
    gates: list[PluginSpec] = Field(
        DEFAULT_GATES, description="Rules that a challenger must pass; files of cl/gating/gates"
    )
    gate_policy: GatePolicy = Field(default_factory=lambda: GatePolicy(), description="What verdicts are worth")
    promotion: PromotionSettings = Field(
        default_factory=lambda: PromotionSettings(), description="What becomes of a challenger that passed"
    )
    distil: CompressionSettings = Field(
        default_factory=lambda: CompressionSettings(), description="Cheaper versions, when they are needed"
    )
    stores: StoreSettings = Field(default_factory=lambda: StoreSettings(), description="Where things are kept")
    registry: RegistrySettings = Field(default_factory=lambda: RegistrySettings(), description="What `cl gc` keeps")
    triggers: TriggerSettings = Field(
        default_factory=lambda: TriggerSettings(), description="What starts a cycle by itself"
    )
    serve: ServingSettings = Field(
        default_factory=lambda: ServingSettings(), description="The server that follows the registry"
    )

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
    def _gates_have_what_they_need(self) -> Config:
        kept = {*self.data.keep, *(["date"] if self.data.date else [])}
        for gate in (plugins.build("gates", spec) for spec in self.gates):
            if missing := sorted(gate.columns - STORED - kept):
                close = difflib.get_close_matches(missing[0], [*STORED, *kept], n=1)
                hint = f"did you mean '{close[0]}'? " if close else ""
                raise ValueError(
                    f"gates: {gate.name}: rows are stored without a column '{missing[0]}'; {hint}"
                    f"add it to data.keep if your data has it; there are: {', '.join(sorted({*STORED, *kept}))}"
                )
            if gate.function and self.gate_policy.functions == "refuse":
                raise ValueError(
                    f"gates: {gate.name}: function '{gate.function}' would run code; "
                    "set gate_policy.functions: allow if it is yours"
                )
        return self

    @model_validator(mode="after")
    def _detectors_exist(self) -> Config:
        for spec in [*self.drift.detectors, *self.drift.traffic.detectors]:
            check_plugin("detectors", spec)
        for spec in self.drift.traffic.detectors:
            if plugins.build("detectors", spec).needs_labels:
                name = spec if isinstance(spec, str) else spec["name"]
                raise ValueError(f"drift.traffic.detectors: '{name}' needs labels, and unlabelled answers have none")
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
        closed = [name for name in names if any(one.closed for one in self.at_rung(name).built)]
        for name in names if closed else []:
            if holding := [one.name for one in self.at_rung(name).built if one.holds == "answers"]:
                raise ValueError(
                    f"ladder: '{name}': '{holding[0]}' holds the champion's answers, and a head that '{closed[0]}' has "
                    "solved for cannot be trained on: they would be those of another head; leave one of the two out"
                )
        return self

    def at_rung(self, rung: str | None) -> Config:
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
        training = wanted.model_dump(include={"epochs", "learning_rate", "head_learning_rate"}, exclude_none=True)
        raw["training"] |= training
        try:
            return Config.model_validate(raw)
        except ValidationError as error:
            raise ValueError(f"ladder: '{rung}': {explain(error, Config)}") from None

    @property
    def columns_of_gates(self) -> list[str]:
        """The columns of the data that gates need, beside those that every evaluation stores."""
        wanted = set[str]().union(*(plugins.build("gates", spec).columns for spec in self.gates))
        return sorted(wanted - STORED)

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
        """Return the configuration under dotted keys, without what names places: as MLflow shows parameters."""
        nested = self.recorded
        flat = {
            f"{key}.{name}" if isinstance(value, dict) else key: one
            for key, value in nested.items()
            for name, one in (value.items() if isinstance(value, dict) else [(key, value)])
        }
        return {key: one if isinstance(one, str) else json.dumps(one) for key, one in flat.items()}

    @property
    def digest(self) -> str:
        """Hash of all that decides the outcome of a cycle: not of places, of who asks it, nor of searches."""
        left_out = {**PLACES, "tune": True, "data": {"source", "chunk_rows"}}
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
        raw = read_yaml(path.read_text(encoding="utf-8"))
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
