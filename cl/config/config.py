"""The configuration: a typed model read from YAML; every field has a working default."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from cl import plugins
from cl.config.capability_checks import check_capabilities, check_engine, check_uses, without_unusable_detectors
from cl.config.column_checks import check_columns
from cl.config.compression import CompressionSettings
from cl.config.data import DataSettings, ValidationSettings
from cl.config.decision import DecisionSettings
from cl.config.default_gates import DEFAULT_GATES, with_default_gates
from cl.config.drift import DriftSettings
from cl.config.evaluation import EvaluationSettings
from cl.config.gate_checks import check_gates
from cl.config.gating import GatePolicy
from cl.config.ladder import RUNG_TRAINING_KEYS, LadderSettings, Rung
from cl.config.messages import explain, keys_of, most_telling
from cl.config.monitoring import TriggerSettings
from cl.config.overrides import Override, put, read_overrides
from cl.config.pipeline import PipelineSettings
from cl.config.promotion import PromotionSettings
from cl.config.registry import RegistrySettings
from cl.config.search import TuneSettings
from cl.config.secrets import hide_secrets
from cl.config.section import PluginSpec, Section, check_plugin
from cl.config.serving import ServingSettings
from cl.config.stores import PLACES, StoreSettings
from cl.config.task_defaults import with_defaults_of_task
from cl.config.training import ModelSettings, TrainingSettings
from cl.config.yaml import Document, read_yaml_file
from cl.errors import ConfigError, PluginError, UnknownPluginError
from cl.records.evaluation import STORED
from cl.redaction import without_password


def default_ladder(solver: dict[str, Any]) -> list[dict[str, Any]]:
    """Return how an update learns by default: the head is solved; where that does not suffice, the encoder is tuned."""
    adapt = {"strategy": {**solver, "adapt": "always"}, "steps": 60, "batch_size": 16}
    return [{"name": "solve", "strategy": solver}, {"name": "adapt", "below": 0.6, "growth": 3.0, **adapt}]


class Config(Section):
    """All settings of a project."""

    name: str = Field(
        "model", pattern=r"^[A-Za-z0-9_-]+$", max_length=200, description="Name of the model in the registry"
    )
    seed: int = Field(17, ge=0, lt=2**32, description="Random seed; the same seed gives the same result")
    task: PluginSpec = Field("text_classification", description="What is predicted; a file in cl/tasks")
    pipeline: PipelineSettings = Field(
        default_factory=lambda: PipelineSettings(), description="The version that finds the spans of a bare text"
    )
    data: DataSettings = Field(default_factory=lambda: DataSettings(), description="Rows and columns")
    validate_: ValidationSettings = Field(
        default_factory=lambda: ValidationSettings(), alias="validate", description="The batch as a whole"
    )
    model: ModelSettings = Field(default_factory=lambda: ModelSettings(), description="The pretrained encoder")
    training: TrainingSettings = Field(default_factory=lambda: TrainingSettings(), description="Fine-tuning")
    strategy: PluginSpec | list[PluginSpec] = Field(
        "replay",
        description="How it learns without forgetting: one or several of the files in cl/training/strategies; "
        "used without a ladder, and at rungs that name none",
    )
    ladder: list[Rung] = Field(
        [],
        description="Ways to learn, cheapest first, of which climb.pick takes one; []: only strategy and model.tuning. "
        "Without a strategy, tuning or control arm of your own: solve the head (ranpac), and as rows grow, adapt the "
        "encoder first",
    )
    climb: LadderSettings = Field(
        default_factory=lambda: LadderSettings(), description="How an update climbs the ladder, and its budget"
    )
    tune: TuneSettings = Field(default_factory=lambda: TuneSettings(), description="The search for better settings")
    drift: DriftSettings = Field(default_factory=lambda: DriftSettings(), description="Drift detection")
    decide: DecisionSettings = Field(
        default_factory=lambda: DecisionSettings(), description="Whether to update the model"
    )
    evaluation: EvaluationSettings = Field(
        default_factory=lambda: EvaluationSettings(), description="What is measured in addition to scores"
    )
    gates: list[Annotated[PluginSpec, AfterValidator(partial(check_plugin, "gates"))]] = Field(
        DEFAULT_GATES, description="Rules that a challenger must pass; files in cl/gating/gates"
    )
    gate_policy: GatePolicy = Field(default_factory=lambda: GatePolicy(), description="How verdicts are enforced")
    promotion: PromotionSettings = Field(
        default_factory=lambda: PromotionSettings(), description="What happens to a challenger that passed"
    )
    distil: CompressionSettings = Field(
        default_factory=lambda: CompressionSettings(), description="Cheaper versions, when they are needed"
    )
    stores: StoreSettings = Field(
        default_factory=lambda: StoreSettings(), description="Databases, artifacts and remotes"
    )
    registry: RegistrySettings = Field(default_factory=lambda: RegistrySettings(), description="What `cl gc` keeps")
    triggers: TriggerSettings = Field(
        default_factory=lambda: TriggerSettings(), description="What starts a cycle automatically"
    )
    serve: ServingSettings = Field(
        default_factory=lambda: ServingSettings(), description="The server that follows the registry"
    )

    @model_validator(mode="before")
    @classmethod
    def _ladder_by_default(cls, raw: Any) -> Any:
        """Fill in the ladder, unless the configuration says how to learn, by a strategy, a tuning or a control arm."""
        if not isinstance(raw, dict) or {"strategy", "ladder"} & raw.keys():
            return raw
        model, training = (raw.get(section) or {} for section in ("model", "training"))
        tuning = model.get("tuning", "full") if isinstance(model, dict) else "full"
        control = training.get("control") if isinstance(training, dict) else None
        if tuning != "full" or control is not None:
            return raw
        try:
            task = plugins.build("tasks", raw.get("task", "text_classification"))
        except (UnknownPluginError, PluginError, ValidationError):
            return raw  # the field says what is wrong
        return {**raw, "ladder": default_ladder(task.solver)} if task.solver else raw

    @field_validator("task")
    @classmethod
    def _task_exists(cls, spec: PluginSpec) -> PluginSpec:
        return check_plugin("tasks", spec)

    @field_validator("strategy")
    @classmethod
    def _strategies_exist(cls, spec: PluginSpec | list[PluginSpec]) -> PluginSpec | list[PluginSpec]:
        for strategy in spec if isinstance(spec, list) else [spec]:
            check_plugin("strategies", strategy)
        return spec

    @model_validator(mode="before")
    @classmethod
    def _gates_by_default(cls, raw: Any) -> Any:
        return with_default_gates(raw)

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_task(cls, raw: Any) -> Any:
        return without_unusable_detectors(with_defaults_of_task(raw))

    @model_validator(mode="after")
    def _gates_can_refuse(self) -> Config:
        check_gates(
            self.gates, data=self.data, policy=self.gate_policy, evaluation=self.evaluation, training=self.training
        )
        return self

    @model_validator(mode="after")
    def _detectors_exist(self) -> Config:
        named = {"drift.detectors": self.drift.detectors, "drift.traffic.detectors": self.drift.traffic.detectors}
        for key, specs in named.items():
            for spec in specs:
                try:
                    check_plugin("detectors", spec)
                except ValueError as error:
                    raise ValueError(f"{key}: {error}") from None
        for spec in self.drift.traffic.detectors:
            if plugins.build("detectors", spec).needs_labels:
                name = spec if isinstance(spec, str) else spec["name"]
                raise ValueError(f"drift.traffic.detectors: '{name}' needs labels, but served answers have none yet")
        return self

    @model_validator(mode="after")
    def _strategies_are_compatible(self) -> Config:
        names = [strategy.name for strategy in self.built_strategies]
        if len(set(names)) < len(names):
            raise ValueError(f"strategy: {', '.join(names)}: list each strategy once")
        for strategy in self.built_strategies:
            if objection := strategy.objection(self):
                raise ValueError(f"strategy: {strategy.name}: {objection}")
        return self

    @model_validator(mode="after")
    def _task_provides_what_is_required(self) -> Config:
        buffers = {
            f"strategy: {strategy.name}: buffer": getattr(strategy, "buffer", None)
            for strategy in self.built_strategies
        }
        used: list[tuple[str, str, Sequence[PluginSpec]]] = [
            ("strategy", "strategies", self.strategies),
            *((key, "buffers", [spec]) for key, spec in buffers.items() if spec is not None),
            ("model.tuning", "tunings", [self.model.tuning]),
            ("drift.detectors", "detectors", self.drift.detectors),
            ("drift.traffic.detectors", "detectors", self.drift.traffic.detectors),
            ("gates", "gates", self.gates),
        ]
        task = plugins.build("tasks", self.task)
        check_capabilities(task, used, encoder=self.drift.encoder)
        check_uses(task, self.data, self.training, self.pipeline)
        check_engine(task, self.serve.engine)
        return self

    @model_validator(mode="after")
    def _columns_are_those_of_the_task(self) -> Config:
        check_columns(plugins.build("tasks", self.task), self.data)
        return self

    @model_validator(mode="after")
    def _control_arm_can_be_trained(self) -> Config:
        if self.training.control and (solver := self.closed_form):
            raise ValueError(
                f"training.control: a naive control arm cannot train from the closed-form head of '{solver.name}'; "
                "set it to null or choose a strategy that trains"
            )
        return self

    @model_validator(mode="after")
    def _rungs_are_valid(self) -> Config:
        names = [rung.name for rung in self.ladder]
        if len(set(names)) < len(names):
            raise ValueError(f"ladder: {', '.join(names)}: rung names must be unique")
        if self.ladder and (self.ladder[0].growth > 1 or self.ladder[0].below is not None):
            raise ValueError(
                f"ladder: '{names[0]}': the first rung must be tried in every update: set growth to 1 and below to null"
            )
        for kind, name in self.decide.rung:
            if name is not None and name not in names:
                raise ValueError(f"decide.rung.{kind}: no rung '{name}'; there are: {', '.join(names) or 'none'}")
        closed = [name for name in names if self.at_rung(name).closed_form]
        for name in names if closed else []:
            built = self.at_rung(name).built_strategies
            if holding := [strategy.name for strategy in built if strategy.anchored_to == "answers"]:
                raise ValueError(
                    f"ladder: '{name}': '{holding[0]}' stores the champion's answers, and '{closed[0]}' on another "
                    "rung replaces the head that gave them; remove one of the two"
                )
        return self

    def at_rung(self, rung: str | None) -> Config:
        """Return the configuration of an update at a rung of the ladder; None: this one, unchanged.

        Raises:
            ValueError: the rung's settings are incompatible.
        """
        if rung is None:
            return self
        wanted = next(entry for entry in self.ladder if entry.name == rung)
        raw = self.model_dump(mode="json", by_alias=True) | {"ladder": []}
        raw["decide"] |= {"rung": {}}
        if wanted.strategy is not None:
            raw["strategy"] = wanted.strategy
        if wanted.tuning is not None:
            raw["model"] |= {"tuning": wanted.tuning}
        training = wanted.model_dump(include={*RUNG_TRAINING_KEYS}, exclude_none=True)
        raw["training"] |= training
        try:
            return Config.model_validate(raw)
        except ValidationError as error:
            raise ValueError(f"ladder: '{rung}': {explain(error, Config)}") from None

    def with_baseline(self, name: str) -> Config:
        """Return the configuration with a baseline as its strategy: alone, on the encoder as it was pretrained."""
        raw = self.model_dump(mode="json", by_alias=True) | {"strategy": name, "ladder": []}
        raw["model"] |= {"tuning": "full"}
        raw |= {"gates": []}  # a baseline is judged by none; some of them need the control arm
        raw["training"] |= {"control": None}
        raw["decide"] |= {"rung": {}}
        return Config.model_validate(raw)

    @property
    def columns_of_gates(self) -> list[str]:
        """The data columns that gates need in addition to those that every evaluation stores."""
        wanted = set[str]().union(*(plugins.build("gates", spec).columns for spec in self.gates))
        return sorted(wanted - STORED)

    @property
    def built_strategies(self) -> list[Any]:
        """The strategy objects, in the order in which their hooks run."""
        return [plugins.build("strategies", spec) for spec in self.strategies]

    @property
    def closed_form(self) -> Any | None:
        """The method that solves for the head instead of training it; it is used alone."""
        return next((method for method in self.built_strategies if method.solves_head), None)

    @property
    def strategies(self) -> list[PluginSpec]:
        """The strategy entry as a list, in the order in which the hooks run."""
        return self.strategy if isinstance(self.strategy, list) else [self.strategy]

    @property
    def every_strategy(self) -> list[PluginSpec]:
        """The strategies of the configuration and of each rung of its ladder."""
        listed = [self.strategy, *(rung.strategy for rung in self.ladder if rung.strategy is not None)]
        return [spec for entry in listed for spec in (entry if isinstance(entry, list) else [entry])]

    @property
    def recorded(self) -> dict[str, Any]:
        """The configuration as stored with a version: without addresses, which may hold passwords."""
        return self.model_dump(mode="json", by_alias=True, exclude=PLACES)

    def flatten(self) -> dict[str, str]:
        """Return the configuration under dotted keys, without addresses: the parameters of the MLflow run."""
        nested = self.recorded
        flat = {
            f"{key}.{name}" if isinstance(value, dict) else key: leaf
            for key, value in nested.items()
            for name, leaf in (value.items() if isinstance(value, dict) else [(key, value)])
        }
        return {key: value if isinstance(value, str) else json.dumps(value) for key, value in flat.items()}

    @property
    def digest(self) -> str:
        """Hash of everything that decides a cycle's outcome: no addresses, triggers, serving or search settings."""
        left_out = {**PLACES, "tune": True, "data": {"source", "chunk_rows", "descriptions"}}
        decisive = self.model_dump(mode="json", by_alias=True, exclude=left_out)
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def load(path: Path, overrides: dict[str, Any] | None = None) -> Config:
    """Read a configuration file, and what `--set` and `CL_SET` put in its place; no later message shows its secrets.

    Args:
        path: a YAML file.
        overrides: dotted keys that override the file, `--set` and `CL_SET`, such as ``{"training.epochs": 2}``.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds a wrong key or value; one line says which, and where.
    """
    raw, document = read_raw(path)
    for dotted, value in (overrides or {}).items():
        put(raw, dotted.split("."), value)
    return _validate(raw, str(path), document, read_overrides())


def read_raw(path: Path) -> tuple[dict[str, Any], Document]:
    """Return what a configuration file, `--set` and `CL_SET` say, unchecked, and the file's lines.

    Raises:
        ConfigError: the file is missing or is not YAML, or a setting does not fit into it.
    """
    document = read_yaml_file(path, missing="no such configuration; `cl init DIR` writes one")
    raw = {} if document.data is None else document.data
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: must hold keys and values, got a {type(raw).__name__}")
    for setting in read_overrides().values():
        put(raw, setting.key.split("."), setting.value)
    hide_secrets(raw)
    return raw, document


def parse(raw: dict[str, Any], *, where: str) -> Config:
    """Validate a mapping; ``where`` names its origin in errors.

    Raises:
        ConfigError: a key is unknown (the closest known key is suggested) or a value is out of bounds.
    """
    return _validate(raw, where, None)


def _validate(
    raw: dict[str, Any], where: str, document: Document | None, replaced: Mapping[str, Override] | None = None
) -> Config:
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        message = explain(error, Config)
        keys = keys_of(most_telling(error)) or message.partition(":")[0].split(".")  # a check of several sections
        origin = format_place(*place_of(keys, where, document, replaced or {}))
        raise ConfigError(f"{origin}: {without_password(message)}") from None


def place_of(
    keys: Sequence[int | str], where: str, document: Document | None, replaced: Mapping[str, Override]
) -> tuple[str, int | None]:
    """Return where the value below some keys was given: `--set`, `CL_SET` or the file with the line, if it is known."""
    setting = next((setting for setting in replaced.values() if keys and setting.touches(keys)), None)
    return (setting.origin, None) if setting is not None else (where, document.line_of(keys) if document else None)


def format_place(where: str, line: int | None) -> str:
    """Return a file with the line, where it is known."""
    return f"{where}: line {line}" if line else where
