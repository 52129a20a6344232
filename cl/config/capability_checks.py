"""Whether a task provides what the plug-ins of a configuration require, and which of the default ones it can use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from cl import plugins
from cl.config.data import DataSettings
from cl.config.drift import DriftSettings, TrafficSettings
from cl.config.pipeline import PipelineSettings
from cl.config.section import PluginSpec
from cl.config.serving import EngineSettings
from cl.config.training import TrainingSettings
from cl.errors import PluginError, UnknownPluginError
from cl.plugins import Capability
from cl.records import BASELINES

Used = Iterable[tuple[str, str, Sequence[PluginSpec]]]
"""Key of the configuration, kind of plug-in, and the entries under that key."""


def check_capabilities(task: Any, used: Used, *, encoder: str | None = None) -> None:
    """Check that a task provides what each plug-in of a configuration requires, or the encoder of drift checks does.

    Raises:
        ValueError: it does not; the message says what is missing, and which plug-ins need no more than there is.
    """
    for key, kind, specs in used:
        provided = _provided(task, encoder if kind == "detectors" else None)
        for plugin in (plugins.build(kind, spec) for spec in specs):
            if lacking := missing(provided, plugin.requires):
                known = {name: plugins.find(kind, name) for name in plugins.names(kind)}
                fitting = [name for name, each in known.items() if not missing(provided, each.requires)]
                embeds = kind == "detectors" and lacking == [Capability.EMBEDDINGS]
                remedy = "set drift.encoder, or choose others; " if embeds else ""
                raise ValueError(
                    f"{key}: {plugins.KINDS[kind].word} '{plugin.name}' needs {lacking[0]}, which task '{task.name}' "
                    f"does not have; {remedy}there are: {', '.join(fitting) or 'none'}"
                )


def _provided(task: Any, encoder: str | None) -> frozenset[Capability]:
    """Return what detectors have: what a task provides, and embeddings of an encoder if there is one."""
    provided: frozenset[Capability] = task.provides
    return provided if encoder is None else provided | {Capability.EMBEDDINGS}


def check_descriptions(task: Any, *, described: bool) -> None:
    """Check that a task can learn descriptions of labels, where there are any: it labels a text as a whole.

    Raises:
        ValueError: it does something else; the message names the tasks that can.
    """
    if described:
        _require_text_labels(task, "data.descriptions", "a description cannot be a row of it; remove them")


def check_engine(task: Any, engine: EngineSettings) -> None:
    """Check that an engine other than this process has something to write.

    Raises:
        ValueError: it has not.
    """
    if engine.name != "local" and not _writes_answers(task):
        fitting = [name for name in plugins.names("tasks") if _writes_answers(plugins.build("tasks", name))]
        raise ValueError(
            f"serve.engine: task '{task.name}' writes no answers, so {engine.name} has nothing to do: set it to local, "
            f"or choose one of: {', '.join(fitting)}"
        )


def _writes_answers(task: Any) -> bool:
    return Capability.WRITING in task.provides and not task.measures_texts


def check_uses(task: Any, data: DataSettings, training: TrainingSettings, pipeline: PipelineSettings) -> None:
    """Check that a task can use partly annotated rows, changed training texts and a tagger, where there are any.

    Raises:
        ValueError: it cannot; the message says why.
    """
    if pipeline.tagger is not None and not _asks_about_pairs(task):
        fitting = [name for name in plugins.names("tasks") if _asks_about_pairs(plugins.find("tasks", name))]
        raise ValueError(
            f"pipeline.tagger: task '{task.name}' asks about no pair of spans: set it to null, or choose one of: "
            f"{', '.join(fitting)}"
        )
    if data.annotated and task.schema.answer.kind != "tags":
        raise ValueError(f"data.annotated: task '{task.name}' has no entities: set it to null")
    if training.augment is not None:
        _require_text_labels(task, "training.augment", "a changed text may need another answer; remove it")


def _require_text_labels(task: Any, key: str, consequence: str) -> None:
    if _labels_texts(task):
        return
    fitting = [name for name in plugins.names("tasks") if _labels_texts(plugins.find("tasks", name))]
    raise ValueError(
        f"{key}: task '{task.name}' does not label a text as a whole, so {consequence}, or choose one of: "
        f"{', '.join(fitting)}"
    )


def _asks_about_pairs(task: Any) -> bool:
    kinds = [column.kind for column in task.schema.inputs]
    return kinds.count("span") == 2 and kinds.count("text") == 1 and task.schema.answer.kind == "label"


def _labels_texts(task: Any) -> bool:
    schema = task.schema
    is_text = schema.input is not None and schema.input.kind == "text"
    return is_text and schema.answer.kind in ("label", "labels") and all(column.optional for column in schema.further)


def without_unusable_detectors(raw: Any) -> Any:
    """Return a raw configuration whose default detectors are those that need no more of the task than it has."""
    drift = raw.get("drift") or {} if isinstance(raw, dict) else None
    traffic = drift.get("traffic") or {} if isinstance(drift, dict) else None
    if drift is None or not isinstance(traffic, dict):
        return raw
    task = _task_of(raw)
    if task is None:
        return raw
    defaults = [DriftSettings().detectors, TrafficSettings().detectors]
    provided = _provided(task, drift.get("encoder"))
    usable = [
        [spec for spec in specs if not missing(provided, plugins.build("detectors", spec).requires)]
        for specs in defaults
    ]
    if usable == defaults:
        return raw
    return {**raw, "drift": {"detectors": usable[0], **drift, "traffic": {"detectors": usable[1], **traffic}}}


def measures_baselines(raw: dict[str, Any]) -> bool:
    """Return whether a raw configuration has baselines measured: it asks for them, and its task has what they need."""
    evaluation = raw.get("evaluation")
    wanted = not isinstance(evaluation, dict) or evaluation.get("baselines") is not False
    task = _task_of(raw)
    return wanted and (task is None or has_baselines(task))


def usable_baselines(task: Any) -> list[str]:
    """Return the baselines that need no more of a task than it provides, as strategies of a backtest."""
    return [name for name in BASELINES if fits(task, plugins.find("strategies", name))]


def has_baselines(task: Any) -> bool:
    """Return whether baselines can be measured: they answer labels by a linear head over frozen features."""
    return not missing(task.provides, {Capability.LINEAR_HEAD, Capability.LABELS})


def fits(task: Any, plugin: Any) -> bool:
    """Return whether a task provides what a plug-in, or a class of them, requires."""
    return not missing(task.provides, plugin.requires)


def missing(provided: Iterable[Capability], required: Iterable[Capability]) -> list[Capability]:
    """Return what is required and not provided, in the order of `Capability`."""
    lacking = frozenset(required) - frozenset(provided)
    return [capability for capability in Capability if capability in lacking]


def _task_of(raw: dict[str, Any]) -> Any | None:
    """Return the task of a raw configuration; None if there is none such, which its field says."""
    try:
        return plugins.build("tasks", raw.get("task", "text_classification"))
    except (UnknownPluginError, PluginError, ValidationError):
        return None
