"""The HTML report: a self-contained file with the full history of a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from cl.records import Cycle, Evaluation, Finding, IntegrityViolation, LedgerEntry, Record, Regression, Score
from cl.records.answers import SideBySide
from cl.records.evaluation import decided
from cl.records.experience import unbacked_classes
from cl.reports import plots
from cl.reports.drift_alarm import format_p_value_cell
from cl.reports.entities import format_report
from cl.reports.measurements import (
    describe_balance,
    describe_baselines,
    describe_comparisons,
    describe_control,
    describe_cut,
    describe_early_signs,
    describe_end_to_end,
    describe_faults,
    describe_score,
    format_forgotten,
    format_loss,
    list_measurements,
)
from cl.statistics import format_p_value
from cl.stores.files import write_text
from cl.stores.ledger import state as ledger

TextsOf = Callable[[str, list[str]], Mapping[str, str]]

EXAMPLES = 10
LATEST_CYCLES = 4
LATEST_EXPERIENCES = 40
"""The most experiences in a table or a matrix."""
SHOWN_CYCLES = 40
SHOWN_CLASSES = 100
SHOWN_ENTRIES = 200
"""The most cycles, classes and entries of the ledger on a page."""
MAX_TEXT = 400


class ServingVersion(Record):
    """The serving version and its mean score when last measured."""

    version: str | None = None
    accuracy: float | None = None
    measured: str | None = None


class ScorePair(Record):
    """Scores of challenger and champion on an experience's test rows, and where their axis starts."""

    challenger: Score
    champion: Score | None = None
    low: float

    @property
    def change(self) -> float | None:
        """The challenger's gain over the champion, -1 to 1; None: there is no champion, or a score is undecided."""
        before = self.champion.value if self.champion else None
        return None if before is None or self.challenger.value is None else self.challenger.value - before


class QuarantineSummary(Record):
    """The quarantined rows of an experience: counts by reason, and examples."""

    total: int
    reasons: dict[str, int]
    examples: list[dict[str, str]]


def _no_texts(experience: str, ids: list[str]) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class ReportRows:
    """Rows that a report shows.

    ``quarantine``: experience -> quarantined rows, with columns id, reason and row; ``texts``: (experience, ids) -> id
    -> text, for the rows that still exist; ``lost``: id of a cycle -> regressions of its challenger, the worst first.
    ``matrix``: the accuracy matrix, experience learned -> experience tested -> score, up to the last challenger.
    ``unbacked``: experience -> its classes that no training row of any experience has; None: the shown cycles tell.
    ``answers``: id of a cycle -> what champion and challenger have written.
    ``verdicts``: verdict -> how many cycles ended with it, those included that are not shown; empty: all are shown.
    """

    quarantine: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    texts: TextsOf = _no_texts
    lost: Mapping[str, list[Regression]] = field(default_factory=dict)
    matrix: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    verdicts: Mapping[str, int] = field(default_factory=dict)
    unbacked: Mapping[str, list[str]] | None = None
    answers: Mapping[str, SideBySide] = field(default_factory=dict)


def write_report(
    cycles: list[Cycle],
    entries: list[LedgerEntry],
    path: Path,
    *,
    name: str,
    rows: ReportRows | None = None,
    broken: IntegrityViolation | None = None,
) -> Path:
    """Write the report and return its path; all content is escaped, and the page runs no script and loads no file.

    Args:
        cycles: the cycles to show, oldest first.
        entries: the promotion ledger, oldest first.
        path: the HTML file; its folder is created.
        name: the model's name.
        rows: the rows to show.
        broken: the first ledger entry that fails the integrity check.
    """
    return _write_page(cycles, entries, path, name=name, rows=rows or ReportRows(), broken=broken, single=False)


def write_cycle_report(cycle: Cycle, matrix: Mapping[str, Mapping[str, float]], path: Path, *, name: str) -> Path:
    """Write the page of one cycle, without rows' texts and of a bounded size, and return its path.

    It is stored with the cycle's record in MLflow, where `cl forget` must find no text, and its cost must not grow.
    """
    return _write_page([cycle], [], path, name=name, rows=ReportRows(matrix=matrix), broken=None, single=True)


def _newest_part(matrix: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return the newest rows and columns of an accuracy matrix."""
    tested = {name for row in matrix.values() for name in row}
    columns = set([name for name in matrix if name in tested][-LATEST_EXPERIENCES:])
    rows = list(matrix.items())[-LATEST_EXPERIENCES:]
    return {learned: {name: score for name, score in row.items() if name in columns} for learned, row in rows}


def _write_page(
    cycles: list[Cycle],
    entries: list[LedgerEntry],
    path: Path,
    *,
    name: str,
    rows: ReportRows,
    broken: IntegrityViolation | None,
    single: bool,
) -> Path:
    """Write a page of several cycles, or of a ``single`` one, without what belongs to the whole project."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "points": _points, "loss": format_loss, "number": _number, "day": _day}
    environment.globals |= {
        "icon": plots.icon,
        "change": plots.change,
        "pairs": score_pairs,
    }
    environment.globals |= {
        "bars_of": plots.before_after_bars,
        "sure": format_p_value_cell,
        "examples_of": partial(example_texts, rows.texts),
    }
    environment.globals |= {
        "numbers_of": list_measurements,
        "control_words": describe_control,
        "score_words": describe_score,
        "cut_words": describe_cut,
        "balance_words": describe_balance,
        "baseline_words": describe_baselines,
        "end_to_end_words": describe_end_to_end,
        "written_words": describe_written,
        "shown_p": format_p_value,
    }
    page = environment.get_template("template.html").render(
        name=name,
        single=single,
        most=LATEST_EXPERIENCES,
        most_classes=SHOWN_CLASSES,
        format_report=format_report,
        most_entries=SHOWN_ENTRIES,
        verdicts=rows.verdicts or Counter(cycle.verdict for cycle in cycles),
        lost=rows.lost,
        answers=rows.answers,
        longest=MAX_TEXT,
        made=datetime.now(UTC),
        cycles=cycles,
        entries=entries,
        broken=broken,
        champion_entry=ledger.holders(entries).get("champion"),
        serving=serving_version(cycles, entries),
        timeline=plots.timeline(cycles),
        quarantined={name: summarise_quarantine(frame) for name, frame in rows.quarantine.items() if len(frame)},
        unbacked=unbacked_classes([cycle.experience for cycle in cycles]) if rows.unbacked is None else rows.unbacked,
        **_evaluation_context([cycle for cycle in cycles if cycle.evaluation], rows.matrix),
    )
    write_text(path, page.encode("utf-8", "replace").decode("utf-8"))
    return path


def describe_written(evaluation: Evaluation) -> list[str]:
    """Return a line each for the scores of all written answers together, the early signs of forgetting, and faults."""
    described = (describe_comparisons, describe_early_signs, describe_faults)
    return [line for describe in described for line in describe(evaluation)]


def example_texts(texts: TextsOf, cycle: Cycle, finding: Finding) -> list[tuple[str, str]]:
    """Return id and text of the example rows of a finding; a deleted row has no text."""
    available = texts(cycle.experience.id, finding.examples)
    return [(id, available.get(id, "(no longer there)")[:MAX_TEXT]) for id in finding.examples]


def serving_version(cycles: list[Cycle], entries: list[LedgerEntry]) -> ServingVersion:
    """Return the serving version; the ledger decides, since a person may have rolled back after the last cycle."""
    champion = ledger.champion(entries)
    version = champion or (cycles[-1].champion_after if cycles else None)
    for cycle in reversed(cycles):
        if cycle.evaluation is None or version is None:
            continue
        if cycle.promotion and cycle.promotion.version == version:
            return ServingVersion(version=version, accuracy=cycle.evaluation.accuracy, measured=cycle.experience.id)
        if cycle.champion_before == version:
            return ServingVersion(
                version=version, accuracy=cycle.evaluation.champion_accuracy, measured=cycle.experience.id
            )
    return ServingVersion(version=version)


def score_pairs(evaluation: Evaluation) -> list[ScorePair]:
    """Return the scores of challenger and champion on each experience, the newest first."""
    before = {score.experience: score for score in evaluation.champion}
    low = plots.axis_start([*decided(evaluation.challenger).values(), *decided(evaluation.champion).values()])
    return [
        ScorePair(challenger=score, champion=before.get(score.experience), low=low)
        for score in reversed(evaluation.challenger)
    ]


def summarise_quarantine(frame: pd.DataFrame) -> QuarantineSummary:
    """Return the reasons by frequency, with examples of each."""
    examples = frame.groupby("reason", sort=False).head(2).head(EXAMPLES)
    return QuarantineSummary(
        total=len(frame),
        reasons={str(reason): int(count) for reason, count in frame["reason"].value_counts(sort=True).items()},
        examples=[
            {name: _truncate(row[name]) for name in ("id", "reason", "row")} for row in examples.to_dict("records")
        ],
    )


def _evaluation_context(evaluated: list[Cycle], matrix: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Return the template variables for evaluated cycles: plots of the last one, gates of the latest few."""
    last = evaluated[-1] if evaluated else None
    if last is None or last.evaluation is None:
        return {"judged": [], "last": None, "matrix": "", "forgetting": ""}
    verdicts = last.gates.verdicts if last.gates else []
    bound = next((verdict.bound for verdict in verdicts if verdict.gate == "forgetting"), None)
    forgetting = last.evaluation.forgetting
    return {
        "judged": evaluated[-LATEST_CYCLES:][::-1],
        "last": last,
        "matrix": plots.heat_map(_newest_part(matrix), refused=last.verdict == "refused"),
        "forgetting": plots.bars(forgetting, bound=bound) if forgetting else "",
    }


def _truncate(value: object) -> str:
    text = "" if value is None or value is pd.NA or value != value else str(value)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(text)} characters)"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _points(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:+.1f}".replace("-", "−")


def _number(value: float | None) -> str:
    return "–" if value is None else (f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}").replace("-", "−")


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M")


def cycles_table(cycles: Sequence[Cycle]) -> str:
    """Return an HTML table with one row per cycle, for a notebook."""
    titles = (
        "experience",
        "rows",
        "quarantined",
        "drift",
        "decision",
        "score",
        "forgotten (points)",
        "verdict",
        "champion",
    )
    head = "".join(f"<th>{title}</th>" for title in titles)
    rows = []
    for cycle in cycles:
        evaluation = cycle.evaluation
        cells = (
            cycle.experience.id,
            cycle.experience.total,
            cycle.experience.quarantined_rows,
            "yes" if cycle.drift.drifted else "no",
            cycle.decision.action,
            describe_score(cycle),
            format_forgotten(evaluation),
            cycle.verdict,
            cycle.champion_after or "-",
        )
        rows.append("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
