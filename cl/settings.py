"""The sections of the configuration: what each stage can be told, with defaults that work."""

from __future__ import annotations

from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cl import plugins
from cl.complaints import explain
from cl.errors import UnknownPluginError

PluginSpec = str | dict[str, Any]
Period = Literal["day", "week", "month", "quarter", "year"]
Asking = Literal["performance", "drift", "arrival"]
"""What can ask for a cycle, the gravest first."""
Telling = Literal["alarm", "hold", "refusal", "promotion", "failure"]


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


class Rung(Section):
    """One way to learn: what it changes in the configuration; the rest stays."""

    name: str = Field(pattern=r"^[a-z0-9_-]+$", description="What decisions and reports call it")
    strategy: PluginSpec | list[PluginSpec] | None = Field(None, description="In place of strategy")
    tuning: PluginSpec | None = Field(None, description="In place of model.tuning")
    epochs: int | None = Field(None, ge=1, description="In place of training.epochs")


class DriftSettings(Section):
    """How a new experience is compared with what the champion was promoted on."""

    detectors: list[PluginSpec] = Field(
        [
            "new_labels",
            "performance",
            "label_mix",
            "prediction_mix",
            "confidence",
            "embedding_mmd",
            "novelty",
            "descriptors",
        ],
        description="Detectors that decide; each is a file in cl/detectors",
    )
    alpha: float = Field(
        0.05, gt=0, lt=0.5, description="Chance of any false alarm, over all detectors and all checks there will be"
    )
    max_rows: int = Field(
        10_000, ge=20, description="Rows of an experience that the champion looks at, drawn at random; labels: all"
    )
    reference_rows: int = Field(1_000, ge=20, description="Rows that a version keeps as its drift reference")
    report: Literal["evidently", "off"] = Field("evidently", description="Whether Evidently's report is made")


class DriftActions(Section):
    """What each type of drift asks for, when it is the only one."""

    inputs: Literal["learn", "hold", "none"] = Field("learn", description="Other texts, or other answers to them")
    labels: Literal["learn", "hold", "none"] = Field("learn", description="Known labels in other shares")
    new_classes: Literal["learn", "hold", "none"] = Field("learn", description="Labels never learnt")
    concept: Literal["learn", "hold", "none"] = Field("learn", description="The champion is right less often")


class DriftRungs(Section):
    """The rung of the ladder at which each type of drift is learnt; null: the first."""

    inputs: str | None = Field(None, description="Rung for other texts; null: the first of the ladder")
    labels: str | None = Field(None, description="Rung for known labels in other shares")
    new_classes: str | None = Field(None, description="Rung for labels never learnt")
    concept: str | None = Field(None, description="Rung for a champion that is right less often")


class Decide(Section):
    """When an update is worth its cost, and which kind of update it is."""

    answer: DriftActions = Field(
        default_factory=lambda: DriftActions(), description="Of several types: learn, then hold"
    )
    rung: DriftRungs = Field(
        default_factory=lambda: DriftRungs(), description="Of several types: the highest; an alarm that stays: one up"
    )
    min_rows: int = Field(20, ge=1, description="Fewer training rows are not learnt: they wait for more")
    max_waiting_rows: int | None = Field(
        None,
        ge=1,
        description="Learn once so many quiet training rows wait, drift or not; null: wait for drift",
    )
    min_avoidable_errors: int = Field(
        0, ge=0, description="Errors on the waiting rows that an update could have avoided, before it is worth it"
    )
    budget_hours: float | None = Field(
        None, gt=0, description="Hours of training within budget_days, after which nothing is learnt; null: no bound"
    )
    budget_days: int = Field(30, ge=1, description="Length of time that budget_hours is for")
    cool_down_hours: float = Field(0.0, ge=0, description="Time after a promotion in which nothing is learnt")
    max_repeats: int | None = Field(
        2, ge=1, description="Updates in a row that did not silence an alarm, until a person is called; null: never"
    )


class GatePolicy(Section):
    """What the verdicts of the gates are worth."""

    mode: Literal["enforce", "dry_run", "off"] = Field(
        "enforce", description="dry_run: gates are judged and told, and refuse nothing; off: they are not judged"
    )
    undecided: Literal["pass", "block"] = Field(
        "pass", description="A gate whose rows are too few to decide passes, or blocks"
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


class Notify(Section):
    """Who is told what happens when nobody is there."""

    about: list[Telling] = Field(
        ["alarm", "hold", "refusal", "promotion", "failure"], description="What is told; [] for silence"
    )
    webhook: str | None = Field(
        None,
        pattern=r"^env:[A-Za-z_][A-Za-z0-9_]*$",
        description="Gets each notice as JSON; `env:NAME` takes the URL from the environment, where secrets stay",
    )
    block: str | None = Field(
        None,
        pattern=r"^[a-z0-9-]+/[a-z0-9-]+$",
        description="Prefect notification block that gets each notice as text, e.g. slack-webhook/ops",
    )


class Triggers(Section):
    """What starts a cycle when nobody is there; read by `cl schedule`, `cl run` needs none of it."""

    watch_minutes: float = Field(5.0, gt=0, description="Time between two looks at the source and at what waits")
    settle_seconds: float = Field(
        10.0, ge=0, description="Files must have lain still for so long before they are read by themselves"
    )
    learn_on: list[Asking] = Field(
        ["performance", "drift", "arrival"],
        description="What a look may find that starts the learning flow; the gravest gives the event its name",
    )
    cron: str | None = Field(
        None, description="When the learning flow starts whatever was seen, e.g. '0 6 * * 1'; null: never"
    )
    timezone: str = Field("UTC", description="Of the cron schedule")
    attempts: int = Field(3, ge=1, description="Runs of one cycle that may fail before it is left to a person")
    wait_minutes: float = Field(60.0, ge=0, description="How long a started run waits for a cycle that works already")
    stage_hours: float | None = Field(
        24.0, gt=0, description="A stage that works longer under Prefect is stopped; null: never"
    )
    notify: Notify = Field(default_factory=lambda: Notify(), description="Who is told")

    @field_validator("timezone")
    @classmethod
    def _timezone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"no time zone '{name}'; such as UTC or Europe/Berlin") from None
        return name


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
