"""A version that is too dear gives way to one derived from it, which is judged and registered like any challenger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cl.compression.budget import exceeded_bounds, passes_quality_gates
from cl.compression.distil import distil
from cl.compression.rewrite import quantise, to_onnx
from cl.compression.student import is_smaller
from cl.config import Config
from cl.errors import DivergedError, InputError
from cl.evaluation.evaluate import evaluate
from cl.gating.gate import gate
from cl.records import REWRITTEN, CompressionResult, Evaluation, Form, GateReport, Registration, Training
from cl.registry.register import evaluation_metrics, register
from cl.stores.journal import Executor, Journal, inline
from cl.stores.stores import Stores


@dataclass(frozen=True)
class Candidate:
    """A version that was registered and judged, and the folder that it was registered from."""

    training: Training
    evaluation: Evaluation
    gates: GateReport
    registration: Registration

    @property
    def folder(self) -> Path:
        """Where it lies, sealed."""
        return Path(self.training.challenger)


@dataclass(frozen=True)
class CompressionContext:
    """What derived versions are judged beside and registered under."""

    cycle: str
    champion: str | None
    champion_folder: Path | None
    learnt: list[str]
    matrix: dict[str, dict[str, float]]
    data_version: str
    strangers: Sequence[str] = ()
    traces: Sequence[str] = ()


@dataclass(frozen=True)
class CompressionOutcome:
    """What came of it: the candidate that is to serve if it may, and all that was derived."""

    chosen: Candidate
    made: list[CompressionResult]


def compress(
    config: Config,
    stores: Stores,
    teacher: Candidate,
    setting: CompressionContext,
    *,
    why: list[str],
    journal: Journal,
    step: Executor = inline,
) -> CompressionOutcome:
    """Derive one form after the other until a version passes all gates and is within the budget.

    Each is made of the last one in floats that is good, if dear: int8 of the teacher where the student has learnt too
    little. One that cannot be made of its teacher, or whose training diverges, is told and left out. If none is good
    enough, the last one that passed its gates is chosen, the teacher among them, or the teacher as it was refused.
    """
    made: list[CompressionResult] = []
    tried = [teacher]
    for form in config.distil.forms:
        floats = [one for one in tried if one.training.form not in REWRITTEN]
        source = next((one for one in reversed(floats) if passes_quality_gates(one.gates)), teacher)
        if form == "student" and not is_smaller(config.distil.student, source.folder):
            continue
        try:
            one = compress_once(config, stores, source, setting, form=form, journal=journal, step=step)
        except (InputError, DivergedError) as error:  # not to be made of this teacher: no reason for a cycle to fail
            made.append(compression_result(form, None, source, why).model_copy(update={"failure": str(error)}))
            continue
        made.append(compression_result(form, one, source, why))
        tried.append(one)
        if one.gates.passed and not exceeded_bounds(config, one.evaluation):
            break
    chosen = next((one for one in reversed(tried) if one.gates.passed), teacher)
    return CompressionOutcome(chosen, made)


def compress_once(
    config: Config,
    stores: Stores,
    teacher: Candidate,
    setting: CompressionContext,
    *,
    form: Form,
    journal: Journal,
    step: Executor = inline,
) -> Candidate:
    """Make a version of one form, evaluate it beside the champion, hold it against the gates and register it.

    Every step is written down in the journal's folder of that name, and may be repeated.
    """
    own = Journal(journal.folder / form)
    folder, rows_of = own.folder / "challenger", stores.experiences.rows_of

    def do(stage: Callable[..., Any]) -> Callable[..., Any]:
        return own.once(stage, step)

    if form == "int8":
        training = do(quantise)(teacher=teacher.folder, folder=folder)
    elif form in REWRITTEN:
        training = do(to_onnx)(
            form, teacher=teacher.folder, learnt=setting.learnt, rows_of=rows_of, folder=folder, seed=config.seed
        )
    else:
        training = do(distil)(
            config,
            teacher=teacher.folder,
            learnt=setting.learnt,
            rows_of=rows_of,
            unlabelled=stores.unlabelled(config.distil.max_unlabelled),
            folder=folder,
        )
    evaluation = do(evaluate)(
        config,
        challenger=folder,
        champion=setting.champion_folder,
        experiences=setting.learnt,
        matrix=setting.matrix,
        rows_of=rows_of,
        folder=own.folder,
        strangers=setting.strangers,
    )
    gates = do(gate)(config, evaluation)
    name, registry = f"{setting.cycle}-{form}", stores.registry
    run = registry.start_run(name, f"{form} of version {teacher.registration.version}", {})
    registration = do(register)(
        config,
        stores,
        cycle=name,
        run=run,
        champion=teacher.folder,
        parent=teacher.registration.version,
        compared=setting.champion,
        data_version=setting.data_version,
        training=training,
        evaluation=evaluation,
        gates=gates,
        traces=setting.traces,
    )
    registry.log_metrics(run, evaluation_metrics(evaluation))
    registry.log_file(run, Path(evaluation.predictions), "evaluation")
    registry.end_run(run)
    return Candidate(training, evaluation, gates, registration)


def load_candidate(folder: Path, version: str) -> Candidate:
    """Return a registered version as what it was when it was judged."""
    evaluation = Evaluation.model_validate_json((folder / "evaluation.json").read_bytes())
    gates = GateReport.model_validate_json((folder / "gates.json").read_bytes())
    nothing = {"epochs": 0, "steps": 0, "rows_new": 0, "rows_recalled": 0, "seconds": 0.0, "validation_score": 0.0}
    training = Training(challenger=str(folder), experiences=[], losses=[], **nothing)
    return Candidate(training, evaluation, gates, Registration(version=version, passed=gates.passed))


def compression_result(form: Form, one: Candidate | None, teacher: Candidate, why: list[str]) -> CompressionResult:
    """Return what came of a derived version; None: it could not be made."""
    found = CompressionResult(
        form=form,
        teacher=teacher.registration.version,
        why=why,
        teacher_accuracy=teacher.evaluation.accuracy,
        teacher_latency_ms=teacher.evaluation.latency_ms,
        teacher_size_mb=teacher.evaluation.size_mb,
    )
    if one is None:
        return found
    return found.model_copy(
        update={
            "version": one.registration.version,
            "passed": one.gates.passed,
            "refused_by": {verdict.gate: verdict.why for verdict in one.gates.verdicts if not verdict.passed},
            "accuracy": one.evaluation.accuracy,
            "latency_ms": one.evaluation.latency_ms,
            "size_mb": one.evaluation.size_mb,
            "seconds": one.training.seconds,
        }
    )
