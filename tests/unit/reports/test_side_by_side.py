"""Written answers side by side: which rows are shown, how long, without secrets, and as text."""

from __future__ import annotations

from html import escape
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from cl.commands._side_by_side import EACH, LONGEST, side_by_side
from cl.evaluation.answer_faults import measure_length
from cl.records.answers import AnswerExample, AnswerLengths, SideBySide
from cl.reports.html import ReportRows, write_cycle_report, write_report
from tests.unit.reports.test_html import HOSTILE, Page, cycle, drift, evaluation, experience, learnt


def stored(rows: int, **changes: Any) -> pa.Table:
    """Rows of which each gains a little more than the one before it; the first half loses."""
    half = rows // 2
    frame = pd.DataFrame(
        {
            "experience": ["may"] * rows,
            "id": [f"r{row}" for row in range(rows)],
            "target": "we send a new card",
            "champion": "a card",
            "challenger": "we send a card today again",
            "champion_score": 0.5,
            "challenger_score": [0.5 + (row - half) / rows / 2 for row in range(rows)],
            "challenger_cut": 0.0,
        }
    ).assign(**changes)
    return pa.Table.from_pandas(frame, preserve_index=False)


def project_with(texts: dict[str, str]) -> Any:
    """Return what the examples ask of a project: the prompts of rows that it still has."""
    found = lambda task, experience, ids: {id: texts[id] for id in ids if id in texts}  # noqa: E731
    return SimpleNamespace(stores=SimpleNamespace(texts=found), config=SimpleNamespace(task="text_generation"))


def test_the_rows_that_gained_and_lost_most_are_shown_and_others_drawn_the_same_each_time() -> None:
    project = project_with({f"r{row}": f"prompt {row}" for row in range(40)})
    shown = side_by_side(project, stored(40))
    assert shown is not None and shown == side_by_side(project, stored(40))
    chosen = {
        kind: [each.id for each in shown.examples if each.chosen == kind] for kind in ("gained most", "lost most")
    }
    assert chosen == {"gained most": ["r39", "r38", "r37", "r36"], "lost most": ["r0", "r1", "r2", "r3"]}
    assert len(shown.examples) == 3 * EACH == len({each.id for each in shown.examples})
    assert all(each.prompt == f"prompt {each.id[1:]}" for each in shown.examples)
    assert shown.examples[0].gain == pytest.approx(19 / 80)


def test_a_first_version_has_examples_without_a_champion_and_rows_of_labels_have_none() -> None:
    first = stored(10).drop_columns(["champion", "champion_score"])
    shown = side_by_side(project_with({}), first)
    assert shown is not None and {each.chosen for each in shown.examples} == {"drawn"}
    assert shown.examples[0].champion is None and shown.examples[0].prompt == "(no longer stored)"
    assert [lengths.side for lengths in shown.lengths] == ["true answers", "challenger"]
    assert side_by_side(project_with({}), first.drop_columns(["challenger_cut"])) is None


def test_long_texts_are_cut_and_secrets_are_left_out() -> None:
    rows = stored(2, challenger="see https://anna:hunter22@example.org/x", champion="long " * 1_000)
    shown = side_by_side(project_with({"r0": "my password=hunter22 is lost", "r1": "x"}), rows)
    assert shown is not None
    page = shown.model_dump_json()
    assert "hunter22" not in page and "password=***" in page and "example.org/x" in page
    assert all(len(each.champion or "") < LONGEST + 30 for each in shown.examples) and "(5,000 characters)" in page


def test_lengths_are_those_of_all_answers() -> None:
    answers = [" ".join(["word"] * count) for count in (1, 2, 3, 4, 10)]
    shown = side_by_side(project_with({}), stored(5, challenger=answers, target="我爱猫"))
    assert shown is not None
    assert shown.lengths == [
        AnswerLengths(side="true answers", mean=3.0, median=3.0, most_of_90=3, longest=3),
        AnswerLengths(side="champion", mean=2.0, median=2.0, most_of_90=2, longest=2),
        AnswerLengths(side="challenger", mean=4.0, median=3.0, most_of_90=10, longest=10),
    ]
    frame = stored(5, challenger=answers).to_pandas()
    assert measure_length(frame, "challenger") == {"length_ratio": 20 / 25}
    assert measure_length(frame, "champion") == {}  # its answers were not written for this evaluation


def page_of(tmp_path, shown: SideBySide) -> str:
    month = cycle(experience(1), drift(experience(1), score=None), before=None, reasons=["first"])
    month = learnt(month, evaluation({1: [0.9]}, []), "1")
    return write_report(
        [month], [], tmp_path / "r.html", name="m", rows=ReportRows(answers={month.id: shown})
    ).read_text()


def test_the_report_shows_them_as_text_and_the_page_of_one_cycle_does_not(tmp_path) -> None:
    row = AnswerExample(
        chosen="lost most",
        experience=HOSTILE,
        id="r1",
        prompt=f"prompt {HOSTILE}",
        target=f"target {HOSTILE}",
        champion="",
        champion_score=0.75,
        challenger=f"challenger {HOSTILE}",
        challenger_score=0.5,
    )
    lengths = [AnswerLengths(side="challenger", mean=4.25, median=4, most_of_90=9, longest=31)]
    text = page_of(tmp_path, SideBySide(rows=1_234, examples=[row], lengths=lengths))
    page = Page(text)
    assert "script" not in page.tags and "img" not in page.tags and not page.handlers and not page.open
    for part in ("prompt", "target", "challenger"):
        assert f"{part} {escape(HOSTILE)}".replace("&#x27;", "&#39;") in text
    assert "−25.0 points" in text and "(blank)" in text and "1 of 1,234 written" in text
    assert ">4.2<" in text and ">31<" in text
    month = learnt(
        cycle(experience(1), drift(experience(1), score=None), before=None, reasons=["first"]),
        evaluation({1: [0.9]}, []),
        "1",
    )
    assert "side by side" not in write_cycle_report(month, {}, tmp_path / "one.html", name="m").read_text()
