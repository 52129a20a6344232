"""What MLflow's pages say of a model and its versions: what was learnt, how it was judged, and what became of it.

The first line of a description is its status, which follows the ledger and the version's tags; the rest stays as it was
written at registration. A description that a person has written in MLflow, without such a first line, is left alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from cl.errors import PerennialError
from cl.records import Evaluation, GateReport, LedgerEntry, Training
from cl.records.evaluation import UNMEASURED
from cl.records.registry import WITHDRAWN
from cl.stores.ledger import state
from cl.stores.mlflow.markdown import escape_markdown, fit, join_names
from cl.stores.mlflow.registry import GATES, SMOKE_TAG, Registry

log = logging.getLogger(__name__)
MOST = 4_000
"""The most characters of a description; MLflow's databases hold 5,000."""
STATUS = "Status: "
"""How the first line of a description begins."""
SHOWN_NUMBERS = {
    "ece": ("calibration error (ECE)", 1.0, ""),
    "oos_auroc": ("AUROC of out-of-scope rows", 1.0, ""),
    "latency_p50_ms": ("median latency of one row", 1.0, " ms"),
    "size_mb": ("size on disk", 1.0, " MB"),
    "over_baseline": ("above the strongest baseline", 100.0, " points"),
}
"""Number of an evaluation -> its words, its factor and its unit."""


def describe_version(
    *,
    version: str,
    parent: str | None,
    compared: str | None,
    training: Training,
    evaluation: Evaluation,
    gates: GateReport,
    why: Sequence[str],
) -> str:
    """Return a version's description without its status; the arguments are as in `NewVersion`."""
    lines = [
        _describe_origin(training, parent),
        "",
        *([f"Why: {'; '.join(escape_markdown(reason, most=400) for reason in why[:5])}", ""] if why else []),
        _describe_judgement(evaluation, compared),
        "",
        *_describe_scores(evaluation),
        "",
        *_describe_gates(gates),
    ]
    promote = [
        "",
        f"To promote it: `cl promote {version} --why TEXT` in the project's folder. {BY_HAND}",
    ]
    closing = "\n".join(promote)
    return fit(lines, MOST - len(closing) - 600) + "\n" + closing


BY_HAND = (
    "An alias that is moved in MLflow, by its button or by a script, changes nothing: the ledger prevails, and "
    "`cl audit --repair mlflow --why TEXT` or the next `cl run` moves it back."
)


def describe_model(model: str, entries: Sequence[LedgerEntry]) -> str:
    """Return the description of a registered model."""
    serving = state.holders(entries).get("champion")
    status = f"version {serving.to_version} serves since {_day(serving)}." if serving else "no version serves."
    return (
        f"{STATUS}{status}\n\n"
        f"Perennial keeps '{escape_markdown(model)}' learning. Each version's page says what it learnt and how it was "
        "judged; the aliases champion, canary and shadow say which of them answer.\n\n"
        "In the project's folder: `cl promote VERSION --why TEXT` promotes, `cl rollback --why TEXT` goes back, "
        f"`cl audit` lists who moved what, and why. {BY_HAND}"
    )


def describe_status(version: str, tags: Mapping[str, str], entries: Sequence[LedgerEntry]) -> str:
    """Return what became of a version, in a sentence."""
    held = {alias: move for alias, move in state.holders(entries).items() if move.to_version == version}
    pending, withdrawn = state.pending_approval(entries), tags.get(WITHDRAWN)
    if "champion" in held:
        move = held["champion"]
        how = " despite its gates" if move.action == "override" else ""
        return f"champion since {_day(move)}{how}: {escape_markdown(move.why, most=300)}"
    if withdrawn is not None:
        return f"withdrawn, and cannot serve again: {escape_markdown(withdrawn, most=300)}"
    for alias, move in held.items():
        share = f" with {move.share:.0%} of the requests" if move.share is not None else ""
        return f"{alias}{share} since {_day(move)}"
    if pending is not None and pending.to_version == version:
        return f"passed, and waits for approval: `cl approve {version}` or `cl reject {version} --why TEXT`"
    return _describe_idle(version, tags, entries)


def refresh_descriptions(
    registry: Registry, entries: Sequence[LedgerEntry], versions: Iterable[str | None], *, body: str | None = None
) -> None:
    """Bring the status of these versions, and of the model, up to date; a failure is logged, and undoes nothing.

    Args:
        registry: holds the descriptions.
        entries: the ledger.
        versions: those whose status may have changed; None is skipped.
        body: what follows the status; None: what is there already.
    """
    try:
        for version in dict.fromkeys(version for version in versions if version is not None):
            tags, known = registry.tags(version), registry.description(version)
            if body is None and known and not known.startswith(STATUS):
                continue
            rest = known.partition("\n\n")[2] if body is None else body
            text = f"{STATUS}{describe_status(version, tags, entries)}\n\n{rest}".rstrip()
            if text != known:
                registry.describe_version(version, text[:MOST])
        known, text = registry.model_description(), describe_model(registry.model, entries)
        if text != known and (not known or known.startswith(STATUS)):
            registry.describe_model(text)
    except PerennialError as error:
        log.warning("the descriptions in MLflow are not up to date: %s", error)


def _describe_origin(training: Training, parent: str | None) -> str:
    start = f"version {parent}" if parent else "the pretrained model"
    if training.form is not None:
        return f"Made from {start} by compression: {escape_markdown(training.form)}."
    if not training.experiences:
        return f"Made from {start} without training."
    rows = f"{training.rows_new:,} new rows, {training.rows_recalled:,} past rows recalled"
    rung = f", at rung {escape_markdown(training.rung)} of the ladder" if training.rung else ""
    labels = f" New labels: {join_names(training.labels_added, shown=10)}." if training.labels_added else ""
    return f"Learnt {join_names(training.experiences)} ({rows}), starting from {start}{rung}.{labels}"


def _describe_judgement(evaluation: Evaluation, compared: str | None) -> str:
    if evaluation.unmeasured:
        return f"It {UNMEASURED}."
    end = f", compared with champion {compared}:" if compared else ":"
    return f"Judged on {evaluation.rows:,} test rows of {_count(len(evaluation.challenger), 'experience')}{end}"


def _describe_scores(evaluation: Evaluation) -> list[str]:
    """Return a line of a list for each number that a person looks for first."""

    def line(words: str, now: float | None, before: float | None, factor: float, unit: str) -> list[str]:
        if now is None:
            return []
        digits = 3 if factor == 1.0 and not unit else 1
        champion = f" (champion: {factor * before:.{digits}f}{unit})" if before is not None else ""
        return [f"- {words}: {factor * now:.{digits}f}{unit}{champion}"]

    metric = f"mean {escape_markdown(evaluation.metric)} of the experiences"
    lines = line(metric, evaluation.accuracy, evaluation.champion_accuracy, 100.0, " %")
    if evaluation.updates > 1:
        lines += line("worst forgetting of a past experience", evaluation.forgetting_max, None, 100.0, " points")
    for name, (words, factor, unit) in SHOWN_NUMBERS.items():
        lines += line(words, evaluation.numbers.get(name), evaluation.champion_numbers.get(name), factor, unit)
    return lines


def _describe_gates(gates: GateReport) -> list[str]:
    mode = {"enforce": "", "dry_run": ", which are reported but refuse nothing", "off": ", which are off"}[gates.mode]
    if not gates.verdicts:
        return [f"No gate judged it{mode}."]
    return [
        f"Gates{mode}:",
        "",
        *(
            f"- {escape_markdown(verdict.gate)}: {verdict.word}. {escape_markdown(verdict.why)}"
            for verdict in sorted(gates.verdicts, key=lambda verdict: verdict.passed)
        ),
    ]


def _describe_idle(version: str, tags: Mapping[str, str], entries: Sequence[LedgerEntry]) -> str:
    """Return what became of a version that has no alias, waits for nobody and was not withdrawn."""
    if tags.get(SMOKE_TAG) == "failed":
        return "refused: it failed its smoke test"
    if tags.get(GATES) == "pending":
        return "registered; its smoke test has not ended"
    rejection = next((e for e in reversed(entries) if e.action == "reject" and e.to_version == version), None)
    if rejection is not None:
        return f"rejected on {_day(rejection)}: {escape_markdown(rejection.why, most=300)}"
    if state.ever_had_alias(entries, version, "champion"):
        return f"former champion. To restore it: `cl rollback {version} --why TEXT`"
    if tags.get(GATES) != "passed":
        return "refused by its gates"
    return "passed its gates, but does not serve"


def _day(entry: LedgerEntry) -> str:
    return f"{entry.recorded_at:%Y-%m-%d %H:%M} UTC (entry {entry.sequence} of the ledger)"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
