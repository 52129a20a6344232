"""Compress a challenger that exceeds the cost budget; each compressed version is evaluated, gated and registered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cl.compression.budget import exceeded_bounds, passes_quality_gates
from cl.compression.distil import distil
from cl.compression.rewrite import quantise, to_onnx
from cl.compression.student import is_smaller
from cl.config import Config
from cl.errors import DivergedError, InputError
from cl.evaluation.evaluate import Candidates, HeldOut, evaluate
from cl.gating.gate import gate
from cl.process.progress import about
from cl.records import REWRITTEN, Challenger, CompressionResult, Evaluation, Form, GateReport, Registration, Training
from cl.registry.lineage import LocalVersion
from cl.registry.register import NewVersion, evaluation_metrics, log_epochs, register
from cl.stores.journal import Executor, Journal, inline
from cl.stores.stores import Stores
from cl.stores.version_folder import load_history


@dataclass(frozen=True)
class Judged:
    """A challenger that was evaluated and registered."""

    challenger: Challenger
    registration: Registration

    @property
    def folder(self) -> Path:
        """Its folder, sealed."""
        return Path(self.challenger.training.challenger)

    @property
    def passed(self) -> bool:
        """Whether it passed all its gates."""
        return self.challenger.gates.passed


@dataclass(frozen=True)
class CompressionContext:
    """What compressed versions are compared with and registered under; ``cycle`` is the prefix of their cycle names."""

    config: Config
    stores: Stores
    cycle: str
    champion: LocalVersion
    held_out: HeldOut
    data_version: str
    journal: Journal
    executor: Executor = inline
    residual_experiences: Sequence[str] = ()


def compress(
    context: CompressionContext, teacher: Judged, reasons: list[str]
) -> tuple[Judged, list[CompressionResult]]:
    """Compress into one form after the other until a version passes all gates and is within the budget.

    Each form is made from the latest float version that passes the quality gates, even if it is expensive: int8 from
    the teacher if the student is not good enough. A form that cannot be made from its teacher, or whose training
    diverges, is reported and skipped. If none is within the budget, the last version that passed its gates is chosen,
    the teacher included; if none passed, the teacher.

    Returns:
        The version to promote if it may serve, and the result of each form.
    """
    results: list[CompressionResult] = []
    judged = [teacher]
    for form in context.config.distil.forms:
        floats = [version for version in judged if version.challenger.training.form not in REWRITTEN]
        source = next(
            (version for version in reversed(floats) if passes_quality_gates(version.challenger.gates)), teacher
        )
        if form == "student" and not is_smaller(context.config.distil.student, source.folder):
            continue
        try:
            with about(form):
                version = compress_once(context, source, form, reasons)
        except (InputError, DivergedError) as error:  # this teacher cannot take the form: the cycle goes on
            failed = compression_result(form, None, source, reasons)
            results.append(failed.model_copy(update={"failure": str(error)}))
            continue
        results.append(compression_result(form, version, source, reasons))
        judged.append(version)
        if version.passed and not exceeded_bounds(context.config, version.challenger.evaluation):
            break
    return next((version for version in reversed(judged) if version.passed), teacher), results


def compress_once(context: CompressionContext, teacher: Judged, form: Form, why: Sequence[str]) -> Judged:
    """Make a version of one form, compare it with the champion, apply the gates and register it.

    Every step is recorded in the form's part of the journal and may be repeated.
    """
    journal, stores, config = context.journal.part(form), context.stores, context.config
    folder = journal.folder / "challenger"
    training = _make(context, teacher, form, journal, folder)
    evaluation = journal.once(evaluate, context.executor)(
        config, Candidates(challenger=folder, champion=context.champion.folder), context.held_out, folder=journal.folder
    )
    gates = journal.once(gate, context.executor)(config, evaluation)
    challenger = Challenger(training=training, evaluation=evaluation, gates=gates)
    name, registry, parent = f"{context.cycle}-{form}", stores.registry, teacher.registration.version
    run = registry.runs.start_run(name, f"{form} of version {parent}", {})
    registration = journal.once(register, context.executor)(
        config,
        stores,
        NewVersion(
            cycle=name,
            run=run,
            parent=LocalVersion(parent, teacher.folder, load_history(teacher.folder)),
            compared=context.champion.version,
            data_version=context.data_version,
            challenger=challenger,
            scores=context.held_out.scores,
            residual_experiences=context.residual_experiences,
            why=why,
        ),
    )
    registry.runs.log_metrics(run, evaluation_metrics(evaluation))
    log_epochs(registry.runs, run, training)
    registry.runs.log_file(run, Path(evaluation.predictions), "evaluation")
    registry.runs.end_run(run)
    return Judged(challenger, registration)


def _make(context: CompressionContext, teacher: Judged, form: Form, journal: Journal, folder: Path) -> Training:
    """Make the compressed version in its folder, as a step of the journal."""
    config, learned, rows_of = context.config, list(context.held_out.experiences), context.held_out.rows_of
    if form == "int8":
        return journal.once(quantise, context.executor)(teacher=teacher.folder, folder=folder)
    if form in REWRITTEN:
        return journal.once(to_onnx, context.executor)(
            form, teacher=teacher.folder, learnt=learned, rows_of=rows_of, folder=folder, seed=config.seed
        )
    return journal.once(distil, context.executor)(
        config,
        teacher=teacher.folder,
        learnt=learned,
        rows_of=rows_of,
        unlabelled=context.stores.unlabelled(config.distil.max_unlabelled),
        folder=folder,
    )


def load_judged(folder: Path, version: str) -> Judged:
    """Return a registered version with its evaluation and verdicts."""
    evaluation = Evaluation.model_validate_json((folder / "evaluation.json").read_bytes())
    gates = GateReport.model_validate_json((folder / "gates.json").read_bytes())
    nothing = {"epochs": 0, "steps": 0, "rows_new": 0, "rows_recalled": 0, "seconds": 0.0, "validation_score": None}
    training = Training(challenger=str(folder), experiences=[], losses=[], **nothing)
    challenger = Challenger(training=training, evaluation=evaluation, gates=gates)
    return Judged(challenger, Registration(version=version, passed=gates.passed))


def compression_result(form: Form, version: Judged | None, teacher: Judged, reasons: list[str]) -> CompressionResult:
    """Return the result of one form; ``version`` None: it could not be made."""
    taught_by = teacher.challenger.evaluation
    result = CompressionResult(
        form=form,
        teacher=teacher.registration.version,
        why=reasons,
        teacher_accuracy=taught_by.accuracy,
        teacher_latency_ms=taught_by.latency_ms,
        teacher_size_mb=taught_by.size_mb,
    )
    if version is None:
        return result
    challenger = version.challenger
    return result.model_copy(
        update={
            "version": version.registration.version,
            "passed": version.passed,
            "refused_by": {verdict.gate: verdict.why for verdict in challenger.gates.verdicts if not verdict.passed},
            "accuracy": challenger.evaluation.accuracy,
            "latency_ms": challenger.evaluation.latency_ms,
            "size_mb": challenger.evaluation.size_mb,
            "seconds": challenger.training.seconds,
        }
    )
