"""The one configuration: a typed model read from YAML; every field has a default that works."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cl import plugins
from cl.complaints import explain
from cl.errors import ConfigError, UnknownPluginError

PluginSpec = str | dict[str, Any]
Period = Literal["day", "week", "month", "quarter", "year"]


class Section(BaseModel):
    """Base of every part of the configuration: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SplitShares(Section):
    """Shares of an experience that are held out; the rest is for training."""

    validation: float = Field(0.15, ge=0.0, lt=0.5, description="Share of rows for validation")
    test: float = Field(0.2, gt=0.0, lt=0.7, description="Share of rows for the test")


class Data(Section):
    """Where rows come from and what their columns are called."""

    source: PluginSpec | None = Field(
        None,
        description="Read by `cl run` before it looks for new experiences, e.g. {name: files, path: inbox}",
    )
    id: str | None = Field("id", description="Column with a row's unique id; null makes one from its content")
    text: str = Field("text", description="Column with the text (text classification)")
    label: str = Field("label", description="Column with the label (text classification)")
    tokens: str = Field("tokens", description="Column with the list of tokens (token classification)")
    tags: str = Field("tags", description="Column with the list of BIO2 tags (token classification)")
    date: str | None = Field(None, description="Column with the row's date, kept beside it; null: none")
    join: list[str] = Field([], description="Further text columns that are put before the text, e.g. [title]")
    group_by: str | None = Field(
        None,
        description="Column that cuts one input into experiences in order of appearance; null: one a file",
    )
    period: Period | None = Field(
        None, description="Length of time that cuts one input into experiences by its dates; null: not by date"
    )
    only: str | None = Field(None, description="When a folder is read: a glob that file names must match")
    split: SplitShares = Field(
        default_factory=lambda: SplitShares(), description="Held-out shares, by a hash of the id"
    )
    split_column: str | None = Field(
        None, description="Column that already says train, validation (or dev) or test; null: split by hash"
    )
    max_chars: int = Field(5_000, ge=1, description="Longer texts go to quarantine")
    min_chars: int = Field(2, ge=1, description="Shorter texts go to quarantine")
    numeric_labels: Literal["refuse", "accept"] = Field(
        "refuse",
        description="A label column that holds only numbers is usually a mistake; accept takes them as names",
    )
    chunk_rows: int = Field(50_000, ge=1, description="Rows held in memory at once during ingest")

    @model_validator(mode="after")
    def _one_way_to_cut(self) -> Data:
        if self.period and not self.date:
            raise ValueError(f"period: '{self.period}' needs the rows' dates; set data.date to their column")
        if self.period and self.group_by:
            raise ValueError(f"period: '{self.period}' and group_by: '{self.group_by}' both cut; leave one of them out")
        return self


class Validate(Section):
    """When a batch as a whole is not fit to learn from."""

    max_quarantined: float = Field(0.3, ge=0.0, le=1.0, description="Hold the batch above this share of broken rows")
    min_rows: int = Field(20, ge=1, description="Hold the batch below this number of training rows")


class Model(Section):
    """The pretrained encoder and which part of it moves."""

    name: str = Field(
        "minilm",
        description="Hugging Face hub id, a local folder, or `minilm`: the packaged all-MiniLM-L6-v2",
    )
    max_length: int = Field(128, ge=4, le=8192, description="Tokens; longer rows are cut")
    tuning: PluginSpec = Field("full", description="Which part of the encoder moves; a file in cl/tunings")
    dropout: float = Field(0.1, ge=0.0, lt=1.0, description="Before the head")
    encoder_dropout: bool = Field(
        False, description="Keep the pretrained encoder's own dropout in training; it costs up to a third of the speed"
    )

    @field_validator("tuning")
    @classmethod
    def _tuning_exists(cls, spec: PluginSpec) -> PluginSpec:
        return check_plugin("tunings", spec)


class TrainingSettings(Section):
    """How one update is trained."""

    epochs: int = Field(6, ge=1, description="At most; early stopping may end sooner")
    batch_size: int = Field(32, ge=1, description="Rows a step")
    learning_rate: float = Field(1e-4, gt=0, description="Peak rate of the encoder (AdamW)")
    head_learning_rate: float = Field(2e-3, gt=0, description="Peak rate of the head")
    weight_decay: float = Field(0.01, ge=0, description="On weight matrices, not on biases and norms")
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of steps until the peak rate; linear decay after")
    clip_norm: float = Field(1.0, gt=0, description="Gradients are scaled down to this norm")
    patience: int = Field(2, ge=1, description="Stop after this many epochs without a better validation score")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 where the machine computes it natively"
    )


class DriftSettings(Section):
    """How a new experience is compared with what the champion was promoted on."""

    detectors: list[PluginSpec] = Field(
        ["label_mix", "new_labels", "embedding_mmd", "confidence", "performance"],
        description="Detectors that decide; each is a file in cl/detectors",
    )
    alpha: float = Field(0.01, gt=0, lt=0.5, description="Chance of a false alarm a check, over all detectors (Holm)")
    reference_rows: int = Field(1_000, ge=20, description="Rows that a version keeps as its drift reference")
    report: Literal["evidently", "off"] = Field("evidently", description="Whether Evidently's report is made")


class Decide(Section):
    """When an update is worth its cost."""

    min_rows: int = Field(20, ge=1, description="Drift on fewer waiting training rows holds instead of learning")
    max_waiting_rows: int | None = Field(
        None,
        ge=1,
        description="Learn once so many quiet training rows wait, drift or not; null: wait for drift",
    )


class StoreSettings(Section):
    """Where things are kept; the defaults need no server. Relative paths are inside the project."""

    tracking_uri: str = Field("sqlite:///mlflow/mlflow.db", description="MLflow tracking server or database")
    artifacts: str | None = Field(
        "mlflow/artifacts", description="MLflow artifact location of a new experiment; null: the server's own"
    )
    ledger_uri: str = Field("sqlite:///mlflow/ledger.db", description="SQLAlchemy URL of the promotion ledger")
    dvc_remote: str = Field(".cl/dvc-remote", description="DVC remote for data/: a folder, s3://, ssh://, ...")

    @model_validator(mode="after")
    def _artifacts_where_others_can_read_them(self) -> StoreSettings:
        local = self.artifacts is not None and "://" not in self.artifacts
        if local and self.tracking_uri.startswith(("http://", "https://")):
            raise ValueError(
                f"artifacts: '{self.artifacts}' is a folder on this machine, which a tracking server's other users "
                "cannot read; set artifacts: null (the server's own) or a URI such as s3://bucket/path"
            )
        return self


DEFAULT_GATES: list[PluginSpec] = [
    {"name": "floor", "min": 0.5},
    {"name": "no_regression", "margin": 0.02},
    {"name": "forgetting", "max": 0.05},
]


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
    drift: DriftSettings = Field(default_factory=lambda: DriftSettings(), description="Drift detection")
    decide: Decide = Field(default_factory=lambda: Decide(), description="The decision to learn")
    gates: list[PluginSpec] = Field(DEFAULT_GATES, description="Rules that a challenger must pass; files of cl/gates")
    stores: StoreSettings = Field(default_factory=lambda: StoreSettings(), description="Where things are kept")

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
        built = [plugins.build("strategies", spec) for spec in self.strategies]
        names = [strategy.name for strategy in built]
        if len(set(names)) < len(names):
            raise ValueError(f"strategy: {', '.join(names)}: each may be listed once")
        for strategy in built:
            if objection := strategy.objection(self):
                raise ValueError(f"strategy: {strategy.name}: {objection}")
        return self

    @property
    def strategies(self) -> list[PluginSpec]:
        """The strategy entry as a list, in the order in which the hooks run."""
        return self.strategy if isinstance(self.strategy, list) else [self.strategy]

    def flat(self) -> dict[str, str]:
        """Return the configuration under dotted keys, without the stores: as MLflow shows parameters."""
        nested = self.model_dump(mode="json", by_alias=True, exclude={"stores": True, "data": {"source"}})
        flat = {
            f"{key}.{name}" if isinstance(value, dict) else key: one
            for key, value in nested.items()
            for name, one in (value.items() if isinstance(value, dict) else [(key, value)])
        }
        return {key: one if isinstance(one, str) else json.dumps(one) for key, one in flat.items()}

    @property
    def digest(self) -> str:
        """Hash of all that decides the outcome of a cycle: not of where things are stored."""
        decisive = self.model_dump(
            mode="json", by_alias=True, exclude={"stores": True, "data": {"source", "chunk_rows"}}
        )
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
        raise ConfigError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
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
        raise ConfigError(f"{where}: {explain(error, Config)}") from None


def check_plugin(folder: str, spec: PluginSpec) -> PluginSpec:
    """Build a plug-in once, so that a wrong name or field is told when the configuration is read.

    Raises:
        ValueError: there is no such plug-in, or a field of it is wrong (pydantic adds the key).
    """
    try:
        plugins.build(folder, spec)
    except UnknownPluginError as error:
        raise ValueError(str(error)) from None
    except ValidationError as error:
        name = spec if isinstance(spec, str) else spec.get("name")
        raise ValueError(
            f"{plugins.singular(folder)} '{name}': {explain(error, plugins.find(folder, str(name)))}"
        ) from None
    return spec


def _set(raw: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        raw = raw.setdefault(key, {})
        if not isinstance(raw, dict):
            raise ConfigError(f"--set {'.'.join(keys)}: '{key}' holds a value, not keys")
    raw[keys[-1]] = value
