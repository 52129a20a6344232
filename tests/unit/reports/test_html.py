"""The HTML report over six months of a stream, over none, one and a hundred cycles."""

from __future__ import annotations

import itertools
import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from cl.monitoring.notices import cycle_notice
from cl.records import (
    ChangedGroup,
    Control,
    Cycle,
    Decision,
    Drift,
    Evaluation,
    Experience,
    Finding,
    GateReport,
    IntegrityViolation,
    LedgerEntry,
    Part,
    Promotion,
    Regression,
    Score,
    Training,
    Validation,
    Verdict,
)
from cl.reports.html import ReportRows, serving_version, summarise_quarantine, write_report
from cl.reports.plots import bars, heat_map, serving_scores, shorten, timeline

START = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
VOID = {"meta", "br", "hr", "img", "input", "link"}
HOSTILE = "</code><script>alert('owned')</script><img src=x onerror=alert(1)>"


def experience(number: int, **changes: object) -> Experience:
    return Experience(
        **{
            "id": f"{number:04d}-month-{number}",
            "name": f"month-{number}",
            "source": f"months/month-{number}.csv",
            "ingested_at": START + timedelta(days=30 * number),
            "rows": {"train": 260, "validation": 60, "test": 80},
            "labels": {"card": 200, "loan": 200},
            "digest": "d" * 64,
            **changes,
        }
    )


def drift(one: Experience, *drifted: str, score: float | None = 0.91, new_labels: list[str] | None = None) -> Drift:
    said = {
        "label_mix": ("labels", 0.41, "mix of 6 known labels, most changed: card 17% to 21% (p = 0.41)"),
        "new_labels": ("new_labels", None, "no label that the champion does not know"),
        "embedding_mmd": ("inputs", 0.0004, "embeddings of 260 new and 1000 reference rows: MMD 0.031"),
        "confidence": ("predictions", 0.22, "the champion's confidence: mean 0.91 to 0.88, KS 0.07 (p = 0.22)"),
        "performance": ("performance", 0.0001, "the champion's score: 93.1% on 80 reference rows, 78.4% here"),
    }
    findings = [
        Finding(detector=name, kind=kind, drifted=name in drifted, p_value=p_value, summary=summary)
        for name, (kind, p_value, summary) in said.items()
    ]
    return Drift(
        experience=one.id,
        drifted=bool(drifted),
        findings=findings if score is not None else [],
        new_labels=new_labels or [],
        champion_score=score,
        promotion_score=None if score is None else 0.93,
        report=None if score is None else "report",
    )


def evaluation(rows: dict[int, list[float]], champion: list[float]) -> Evaluation:
    """Rows of the accuracy matrix by the month learnt; the columns are all months but the fifth, which is held."""
    ids = [f"{number:04d}-month-{number}" for number in (1, 2, 3, 4, 6)]
    matrix = {f"{month:04d}-month-{month}": dict(zip(ids, row, strict=False)) for month, row in rows.items()}
    now = list(rows.values())[-1]
    tested = ids[: len(now)]
    past = list(matrix.values())[:-1]
    best = {one: max(row[one] for row in past if one in row) for one in tested if any(one in row for row in past)}
    return Evaluation(
        metric="accuracy",
        challenger=[Score(experience=one, rows=80, value=v) for one, v in zip(tested, now, strict=True)],
        champion=[Score(experience=one, rows=80, value=v) for one, v in zip(tested, champion, strict=False)],
        accuracy=sum(now) / len(now),
        champion_accuracy=sum(champion) / len(champion) if champion else None,
        backward_transfer=None if len(rows) < 2 else -0.012,
        forgetting={one: best[one] - score for one, score in zip(tested, now, strict=True) if one in best},
        newest=list(matrix)[-1],
        updates=len(matrix),
        calibration_error=0.041,
        latency_ms=6.3,
        size_mb=90.4,
        predictions="predictions.parquet",
    )


def gates(scored: Evaluation, *, floor: float = 0.8) -> GateReport:
    worst = min(scored.challenger, key=lambda score: score.value)
    lost = scored.forgetting_max
    verdicts = [
        Verdict(
            gate="floor",
            passed=worst.value >= floor,
            measured=worst.value,
            bound=floor,
            why=f"{worst.experience} scores {worst.value:.3f}, at least {floor:.3f} is required",
        ),
        Verdict(gate="no_regression", passed=True, bound=-0.02, why="first version: there is no champion")
        if not scored.champion
        else Verdict(
            gate="no_regression",
            passed=True,
            measured=0.011,
            bound=-0.02,
            why="the challenger is 1.1 points above the champion over 320 rows (95% interval -0.6 to +2.9), "
            "a loss of up to 2.0 is accepted",
        ),
        Verdict(gate="forgetting", passed=lost <= 0.05, measured=lost, bound=0.05, why=f"{100 * lost:.1f} points"),
        Verdict(gate="ceiling latency_ms", passed=True, measured=6.3, bound=50.0, why="one prediction takes 6.3 ms"),
    ]
    return GateReport(passed=all(verdict.passed for verdict in verdicts), verdicts=verdicts)


def cycle(one: Experience, seen: Drift, *, before: str | None, reasons: list[str], action: str = "none") -> Cycle:
    return Cycle(
        id=f"{one.id[:4]}c0ffee5eed",
        experience=one,
        started_at=one.ingested_at,
        seconds=3.4,
        data_version="3f2a9c81d04e5b67a1",
        champion_before=before,
        validation=Validation(passed=action != "hold"),
        drift=seen,
        decision=Decision(action=action, reasons=reasons),
        champion_after=before,
    )


def learnt(quiet: Cycle, scored: Evaluation, version: str) -> Cycle:
    report = gates(scored)
    after = version if report.passed else quiet.champion_before
    return quiet.model_copy(
        update={
            "decision": Decision(action="learn", reasons=quiet.decision.reasons),
            "seconds": 61.7,
            "training": Training(
                challenger="challenger",
                experiences=[quiet.experience.id],
                labels_added=quiet.drift.new_labels,
                epochs=6,
                steps=96,
                rows_new=260,
                rows_recalled=780,
                seconds=48.2,
                validation_score=0.93,
                losses=[1.2, 0.4, 0.2],
            ),
            "evaluation": scored,
            "gates": report,
            "promotion": Promotion(version=version, promoted=report.passed, champion_after=after),
            "champion_after": after,
        }
    )


@pytest.fixture
def six_months() -> list[Cycle]:
    """First model, a quiet month, drift, new labels, a batch held with 41 broken rows, a refusal by the floor."""
    one, two, three, four, six = (experience(number) for number in (1, 2, 3, 4, 6))
    five = experience(
        5, quarantined={"empty text": 24, "label missing": 11, "same id, other content": 6}, rows={"train": 15}
    )
    first = cycle(one, drift(one, score=None), before=None, reasons=["no champion yet: this is the first model"])
    quiet = "nothing has changed that matters: label_mix (p = 0.41), embedding_mmd (p = 0.3), confidence (p = 0.22)"
    moved = "performance: the champion's score: 93.1% on 80 reference rows, 78.4% here (p < 0.0001)"
    strange = "new_labels: 2 labels that the champion does not know: gift card, crypto (64 of 260 rows)"
    broken = "41 of 56 rows (73%) are in quarantine (empty text 24, label missing 11, same id, other content 6)"
    third = cycle(three, drift(three, "performance", "embedding_mmd", score=0.784), before="1", reasons=[moved])
    new = drift(four, "new_labels", score=0.702, new_labels=["crypto", "gift card"])
    fourth = cycle(four, new, before="2", reasons=[strange])
    sixth = cycle(six, drift(six, "performance", score=0.741), before="3", reasons=[moved])
    matrix = {1: [0.931], 3: [0.919, 0.924, 0.902], 4: [0.922, 0.917, 0.893, 0.887]}
    refused = {6: [0.912, 0.921, 0.871, 0.846, 0.744]}
    return [
        learnt(first, evaluation({1: matrix[1]}, []), "1"),
        cycle(two, drift(two, score=0.924), before="1", reasons=[quiet]),
        learnt(third, evaluation({1: matrix[1], 3: matrix[3]}, [0.931, 0.924, 0.784]), "2"),
        learnt(fourth, evaluation(matrix, [0.919, 0.924, 0.902, 0.702]), "3"),
        cycle(five, drift(five, score=0.871), before="3", reasons=[broken], action="hold"),
        learnt(sixth, evaluation({**matrix, **refused}, [0.922, 0.917, 0.893, 0.887, 0.741]), "4"),
    ]


@pytest.fixture
def ledger() -> list[LedgerEntry]:
    moves = [("promote", None, "1"), ("promote", "1", "2"), ("promote", "2", "3")]
    return [
        LedgerEntry(
            sequence=at + 1,
            recorded_at=START + timedelta(days=30 * at, minutes=2),
            actor="anna@laptop",
            action=action,
            from_version=before,
            to_version=after,
            why=f"learnt 000{at + 1}-month",
            state="committed",
        )
        for at, (action, before, after) in enumerate(moves)
    ]


@pytest.fixture
def set_aside() -> dict[str, pd.DataFrame]:
    reasons = ["empty text"] * 24 + ["label missing"] * 11 + ["same id, other content"] * 6
    rows = [json.dumps({"text": HOSTILE if at == 24 else "", "label": None}) for at in range(41)]
    frame = pd.DataFrame({"id": [f"m5-{at}" for at in range(41)], "reason": reasons, "row": rows})
    frame.loc[0, "id"] = None
    return {"0005-month-5": frame}


class Page(HTMLParser):
    """Collects tags, addresses and text; complains when a tag that must be closed is not."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for key, value in attributes if key in ("src", "href", "xlink:href", "action")]
        self.handlers += [key for key, _ in attributes if key.startswith("on")]
        self.ids += [value or "" for key, value in attributes if key == "id"]
        if tag not in VOID | {"li"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "li":
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def matrix_of(cycles: list[Cycle]) -> dict[str, dict[str, float]]:
    return {cycle.evaluation.newest: cycle.evaluation.row for cycle in cycles if cycle.evaluation}


def written(path: Path, cycles: list[Cycle], entries: list[LedgerEntry], **given: object) -> str:
    quarantine = given.get("quarantine", {})
    texts = given.get("texts", lambda experience, ids: {})
    made = write_report(
        cycles,
        entries,
        path / "deep" / "index.html",
        name="support-topics",
        rows=ReportRows(quarantine, texts, matrix=matrix_of(cycles)),
        broken=given.get("broken"),
    )
    return made.read_text(encoding="utf-8")


def test_the_report_loads_nothing_and_runs_nothing(tmp_path, six_months, ledger, set_aside) -> None:
    text = written(tmp_path, six_months, ledger, quarantine=set_aside)
    page = Page(text)
    assert not page.open
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert page.addresses and all(address.startswith("#") for address in page.addresses)
    assert not page.handlers
    assert "default-src 'none'" in text and not re.search(r"url\(|@import|https?:", text)


def test_a_hostile_message_is_shown_as_text(tmp_path, six_months, ledger, set_aside) -> None:
    text = written(tmp_path, six_months, ledger, quarantine=set_aside)
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert "alert('owned')" in Page(text).text


def test_what_gates_found_on_groups_and_the_rows_that_were_lost_are_shown_as_text(tmp_path, six_months, ledger) -> None:
    parts = [
        Part(
            group=f"{name}{HOSTILE}", verdict=word, measured=-0.3, bound=-0.02, p_value=p_value, rows=40, why="so it is"
        )
        for name, word, p_value in (("fee", "fail", 0.00001), ("loan", "undecided", 0.03))
    ]
    verdict = Verdict(gate="rule score on each_class", passed=False, why="so it is", on="each_class", parts=parts)
    last = six_months[-1]
    judged = last.model_copy(update={"gates": GateReport(passed=False, verdicts=[verdict])})
    row = Regression(
        experience="0001-one", id=f"r7{HOSTILE}", target="fee", champion="fee", champion_confidence=0.91,
        challenger=f"loan{HOSTILE}", challenger_confidence=0.876, text=f"my fee {HOSTILE}",
    )  # fmt: skip
    path = tmp_path / "index.html"
    write_report([*six_months[:-1], judged], ledger, path, name="shop", rows=ReportRows(lost={last.id: [row]}))
    text = path.read_text()
    assert "<script" not in text and "<img" not in text
    for told in (
        "results of each gate by group of rows",
        "p &lt; 0.0001",
        "p = 0.03",
        "fee&lt;/code&gt;&lt;script",
    ):
        assert told in text
    for told in ("the 1 worst regressions", "r7&lt;/code&gt;", "91.0%", "87.6%", "my fee &lt;/code&gt;"):
        assert told in text


def test_hostile_names_are_shown_as_text_in_pictures_and_tables(tmp_path, six_months, ledger) -> None:
    nasty = experience(7, id="0007-<script>x</script>")
    strange = [cycle(nasty, drift(nasty), before="3", reasons=[HOSTILE])]
    entries = [ledger[0].model_copy(update={"actor": HOSTILE, "why": HOSTILE})]
    text = written(tmp_path, [*six_months, *strange], entries, quarantine={})
    assert "<script" not in text and "<img" not in text
    for picture in (heat_map({"<b>": {"<b>": 0.5}}), bars({"<b>": 0.1}), timeline(strange)):
        assert "<b>" not in picture and "<script" not in picture


def alarmed(*moved: ChangedGroup, drifted: bool = True) -> Cycle:
    """A cycle with one finding that has moved so, and twenty rows that show it."""
    one = experience(3)
    finding = Finding(
        detector="performance",
        kind="performance",
        drifted=drifted,
        p_value=0.0004,
        summary="the champion's score fell",
        moved=list(moved),
        examples=[f"row-{at}" for at in range(20)],
    )
    seen = Drift(experience=one.id, drifted=drifted, findings=[finding], level=0.0025)
    return cycle(one, seen, before="1", reasons=["drift"])


def told(experience: str, ids: list[str]) -> dict[str, str]:
    return {id: f"text of {id} {HOSTILE}" for id in ids if id != "row-19"}


def plain(page: str) -> str:
    """Return a page's text, its cells a space apart."""
    return " ".join(re.sub("<[^>]*>", " ", page).split())


def test_an_alarm_shows_what_moved_how_sure_it_is_and_twenty_rows(tmp_path) -> None:
    seen = alarmed(
        ChangedGroup(name=HOSTILE, before=0.5, after=0.125), ChangedGroup(name="fee", before=0.1, after=0.25)
    )
    text = written(tmp_path, [seen], [], texts=told)
    page = Page(text)
    words = plain(text)
    assert "p = 0.0004, and this check may spend 0.0025 over all detectors." in words
    assert "Class or word share in the reference share in the new rows" in words
    assert "fee 10.0% 25.0%" in words
    widths = re.findall(r'<rect y="\d" width="([\d.]+)" height="5" class="(was|is)"/>', text)
    assert widths == [("120.0", "was"), ("30.0", "is"), ("24.0", "was"), ("60.0", "is")], "all bars have one scale"
    assert all(f"text of row-{at} " in words for at in range(19)) and "row-19 (no longer there)" in words
    assert not {"script", "img"} & set(page.tags) and not page.handlers and not page.open


def test_a_slice_that_fell_is_shown_with_its_score_and_interval(tmp_path) -> None:
    fell = ChangedGroup(name="loan", before=0.92, after=0.78, low=0.703, high=0.809)
    for drifted in (True, False):
        text = plain(written(tmp_path, [alarmed(fell, drifted=drifted)], []))
        assert "Class or slice score in the reference score in the new rows" in text
        assert "loan 92.0% 78.0% (70.3% to 80.9%)" in text
        assert ("classes and slices with the largest drops" in text) is not drifted, (
            "without an alarm it is there, folded up"
        )


def test_every_link_of_the_contents_leads_somewhere(tmp_path, six_months, ledger) -> None:
    page = Page(written(tmp_path, six_months, ledger))
    assert {address.removeprefix("#") for address in page.addresses} == set(page.ids)


def test_six_months_are_told_in_words_and_numbers(tmp_path, six_months, ledger, set_aside) -> None:
    text = " ".join(Page(written(tmp_path, six_months, ledger, quarantine=set_aside)).text.split())
    assert "Version 3 serves at 87.2%." in text
    assert "a gate refused the challenger" in text
    assert "0006-month-6 scores 0.744, at least 0.800 is required" in text
    assert "0005-month-5: 41 rows quarantined" in text
    assert "New labels: crypto, gift card." in text
    for verdict in ("promoted", "refused", "none", "held"):
        assert verdict in text


def test_the_same_cycles_give_the_same_page_but_for_the_time(tmp_path, six_months, ledger, set_aside) -> None:
    pages = [written(tmp_path / one, six_months, ledger, quarantine=set_aside) for one in "ab"]
    first, second = (re.sub(r"Made by Perennial, [^<]*", "", page) for page in pages)
    assert first == second


def test_no_cycle_yet_says_what_to_do(tmp_path) -> None:
    text = written(tmp_path, [], [])
    assert "Nothing yet" in text and "cl ingest PATH" in text


def test_one_cycle_is_enough_for_a_report(tmp_path, six_months, ledger) -> None:
    text = Page(written(tmp_path, six_months[:1], ledger[:1])).text
    assert "There is nothing to forget yet" in text and "Version 1 serves at 93.1%" in text


def test_a_batch_held_before_any_model_is_reported(tmp_path) -> None:
    one = experience(1)
    held = cycle(one, drift(one, score=None), before=None, reasons=["too few rows"], action="hold")
    text = Page(written(tmp_path, [held], [])).text
    assert "No version serves yet" in text and "No model has been evaluated yet" in text


def many(count: int) -> list[Cycle]:
    cycles = []
    for number in range(1, count + 1):
        one = experience(number, id=f"{number:04d}-week-{number}")
        moved = ["performance"] if number % 7 == 0 else []
        quiet = cycle(one, drift(one, *moved, score=0.9), before="1", reasons=["quiet"])
        cycles.append(
            learnt(quiet, evaluation({1: [0.9 + 0.0005 * number]}, [0.9]), str(number)) if number % 3 else quiet
        )
    return cycles


def test_a_hundred_cycles_stay_readable(tmp_path) -> None:
    cycles = many(100)
    assert Page(written(tmp_path, cycles, [])).open == []
    picture = timeline(cycles)
    width = int(re.search(r'width="(\d+)"', picture)[1])
    names = [float(x) for x in re.findall(r'<text x="([\d.]+)" y="276.0"', picture)]
    assert width < 1100 and min(b - a for a, b in itertools.pairwise(names)) >= 60


def test_a_matrix_of_a_hundred_experiences_has_no_numbers_and_a_small_one_has_them() -> None:
    ids = [f"{at:04d}-week-{at}" for at in range(100)]
    large = heat_map({one: dict.fromkeys(ids[: at + 1], 0.9) for at, one in enumerate(ids)})
    small = heat_map({"0001-a": {"0001-a": 0.912}, "0002-b": {"0001-a": 0.874, "0002-b": 0.9}})
    assert ">90.0<" not in large and large.count("<rect") == 5050
    assert ">91.2<" in small and ">87.4<" in small


def test_the_columns_of_a_matrix_are_in_the_order_of_learning() -> None:
    picture = heat_map({"0002-b": {"0001-a": 0.1, "0002-b": 0.9}, "0001-a": {"0001-a": 0.8, "0002-b": 0.7}})
    assert picture.index("0002-b on 0002-b") < picture.index("0002-b on 0001-a")


def test_a_refused_challengers_row_is_marked_in_the_matrix() -> None:
    matrix = {"0001-a": {"0001-a": 0.9}, "0002-b": {"0001-a": 0.4, "0002-b": 0.5}}
    assert "b ✕" in heat_map(matrix, refused=True) and "✕" not in heat_map(matrix)


def test_only_the_most_forgotten_of_many_experiences_are_drawn() -> None:
    picture = bars({f"{at:04d}-week-{at}": at / 1000 for at in range(60)}, bound=0.05)
    assert picture.count("<rect") == 24
    assert "week-59" in picture and "week-35" not in picture and "at most 5.0" in picture


def test_the_line_of_the_timeline_follows_the_version_that_serves(six_months) -> None:
    values = serving_scores(six_months)
    assert values[0] == values[1] == 0.931
    assert values[3] == values[4] == pytest.approx((0.922 + 0.917 + 0.893 + 0.887) / 4)
    assert values[5] == pytest.approx((0.922 + 0.917 + 0.893 + 0.887 + 0.741) / 5)


def test_the_ledger_has_the_last_word_on_what_serves(six_months, ledger) -> None:
    back = ledger[-1].model_copy(update={"sequence": 4, "action": "rollback", "from_version": "3", "to_version": "2"})
    lost = back.model_copy(update={"sequence": 5, "state": "abandoned", "to_version": "1"})
    now = serving_version(six_months, [*ledger, back, lost])
    assert (now.version, now.measured) == ("2", "0004-month-4")
    assert now.accuracy == pytest.approx((0.919 + 0.924 + 0.902 + 0.702) / 4)


def test_an_alias_moved_by_hand_and_a_broken_chain_are_shown(tmp_path, six_months, ledger) -> None:
    found = {"sequence": 4, "action": "alias_moved", "from_version": "3", "to_version": "2", "why": "put back"}
    moved = ledger[-1].model_copy(update=found)
    assert "alias movedchampion32committedput back" in words(written(tmp_path, six_months, [*ledger, moved]))
    for entries in (ledger, []):  # also where all entries are gone
        page = words(written(tmp_path, six_months, entries, broken=IntegrityViolation(sequence=1, why="it is missing")))
        assert (
            "Entry 1 cannot be trusted: it is missing; restore the ledger from a backup, or vouch" in page
            and "the chain is intact" not in page
        )


def words(page: str) -> str:
    return " ".join(Page(page).text.replace("\n", " ").split())


def test_examples_show_two_rows_of_each_reason(set_aside) -> None:
    found = summarise_quarantine(set_aside["0005-month-5"])
    assert list(found.reasons.items()) == [("empty text", 24), ("label missing", 11), ("same id, other content", 6)]
    assert [row["reason"] for row in found.examples].count("label missing") == 2
    assert found.examples[0]["id"] == ""


def test_a_very_long_row_and_half_a_character_are_no_obstacle(tmp_path, six_months) -> None:
    rows = pd.DataFrame({"id": ["a", "b"], "reason": ["too long", "broken"], "row": ["x" * 9000, "\ud800"]})
    text = written(tmp_path, six_months, [], quarantine={"0005-month-5": rows})
    assert "(9000 characters)" in text and len(text) < 120_000


def test_names_lose_their_number_only() -> None:
    assert [shorten("0003-month-3"), shorten("alone"), shorten("a-b"), shorten("0004-" + "x" * 30, 6)] == [
        "month-3",
        "alone",
        "a-b",
        "xxxxx…",
    ]


def test_what_was_measured_beside_scores_stands_in_tables_with_the_champions(tmp_path, six_months) -> None:
    last = six_months[-1]
    control = Control(
        scores=[], rows=200, epochs=3, seconds=4.25, forgetting_avoided=0.113, learning_cost=-0.02
    )  # fmt: skip
    measured = last.evaluation.model_copy(
        update={
            "numbers": {"brier": 0.2123, "latency_p95_ms": 12.34, "robustness_typos": 0.5},
            "champion_numbers": {"brier": 0.3, "oos_auroc": 0.75},
            "per_class": {HOSTILE: {"count": 9.0, "precision": 1.0, "recall": 0.5, "f1": 0.66}},
            "control": control,
        }
    )
    text = written(tmp_path, [*six_months[:-1], last.model_copy(update={"evaluation": measured})], [])
    words = plain(text)
    for line in (
        "Brier score 0.300 0.212",
        "latency p95, ms – 12.3",
        "accuracy with typos – 0.500",
        "out-of-scope AUROC 0.750 –",
        "9 100.0% 50.0% – 66.0%",
        "A naive control arm (200 new rows, 3 epochs, 4.2 s) ends 11.3 points below the challenger on past "
        "experiences, and 2.0 points below it on the new experience.",
    ):
        assert line in words
    assert not {"script", "img"} & set(Page(text).tags)


def test_the_ledger_shows_canaries_a_persons_word_moved_aliases_and_an_entry_that_cannot_be_trusted(
    tmp_path, six_months, ledger
) -> None:
    more = [
        {"action": "promote", "alias": "canary", "share": 0.25, "from_version": None, "to_version": "4"},
        {"action": "reject", "to_version": "5", "why": HOSTILE},
        {"action": "alias_moved", "from_version": "3", "to_version": None, "why": "put back"},
    ]
    hashes = {"hash": "abcdef0123", "verdict_digest": "0123456789"}
    entries = [
        *ledger,
        *(ledger[-1].model_copy(update={"sequence": at, **hashes, **one}) for at, one in enumerate(more, start=4)),
    ]
    text = written(tmp_path, six_months, entries)
    shown = " ".join(Page(text).text.split())
    assert "canary 25.0%" in shown and "reject" in shown and "alias moved" in shown and "put back" in shown
    assert "abcdef01" in shown and "01234567" in shown and "the chain is intact" in shown and HOSTILE not in text
    assert serving_version(six_months, entries).version == "3", "a canary does not serve"

    broken = IntegrityViolation(sequence=2, why="it is missing")
    shown = " ".join(Page(written(tmp_path, six_months, entries, broken=broken)).text.split())
    assert "Entry 2 cannot be trusted: it is missing" in shown and "the chain is intact" not in shown


def test_every_verdict_of_a_cycle_has_a_shape_and_a_sentence(tmp_path, six_months, ledger) -> None:
    for verdict, changes in {
        "waiting": {"waiting": True},
        "canary": {"trial_alias": "canary", "share": 0.1},
        "shadow": {"trial_alias": "shadow"},
    }.items():
        promotion = six_months[-1].promotion.model_copy(update=changes)
        last = six_months[-1].model_copy(update={"promotion": promotion})
        assert last.verdict == verdict
        text = written(tmp_path / verdict, [*six_months[:-1], last], ledger)
        assert f'class="stroke {verdict}"' in text and "passed, " in Page(text).text
        assert (notice := cycle_notice("m", last)) and notice.about == (
            "approval" if verdict == "waiting" else "promotion"
        )
