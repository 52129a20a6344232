"""Test rows of a model that writes: which are written, which are only read, and what is wrong with the answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import cl.models.generation
from cl.config import Config, parse
from cl.config.default_gates import ANSWERS_GATE, DEFAULT_GATES
from cl.evaluation.answer_faults import find_faults, measure_faults
from cl.evaluation.choose_tests import choose_written
from cl.evaluation.evaluate import Candidates, HeldOut, evaluate
from cl.gating.gate import judge
from cl.gating.gates.answer_faults import AnswerFaults
from cl.models.build import grow_labels, new_learner
from cl.models.generation import read_answers
from cl.models.inference import score_rows
from cl.models.persistence import load_learner, save_learner
from cl.records import Evaluation
from cl.records.past_scores import PastScores, from_matrix
from cl.reports.measurements import describe_faults
from cl.tasks import Prediction
from cl.testing import sample_evaluation
from tests.support.tiny import made_tiny_writer


@pytest.fixture(scope="module")
def writer(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_tiny_writer(tmp_path_factory.mktemp("writer") / "model", tiny_model)


def config_of(writer: Path, metric: str = "rouge_l", **evaluation: object) -> Config:
    raw = {
        "task": {"name": "text_generation", "metric": metric, "max_new_tokens": 4},
        "model": {"name": str(writer), "max_length": 32},
        "training": {"precision": "float32"},
        "evaluation": {"latency_calls": 1, "throughput_rows": 1, **evaluation},
    }
    return parse(raw, where="test")


def rows_of(ids: list[str], split: str) -> pd.DataFrame:
    names = [f"{id}-{row}" for id in ids for row in range(12)]
    things = ["card", "fee", "loan", "box"]
    return pd.DataFrame(
        {
            "id": names,
            "prompt": [f"where is my {things[row % 4]}" for row in range(len(names))],
            "completion": [f"the {things[row % 4]} is lost" for row in range(len(names))],
        }
    )


def saved(config: Config, folder: Path) -> Path:
    folder.mkdir()
    save_learner(grow_labels(new_learner(config), ["text"], seed=0), folder)
    return folder


def evaluated(config: Config, folder: Path, **candidates: Path | None) -> tuple[Evaluation, pd.DataFrame]:
    scores = from_matrix({"a": {"a": 0.5}}) if "champion" in candidates else PastScores()
    held_out = HeldOut(["a", "b"], scores, rows_of)
    folder.mkdir(exist_ok=True)
    found = evaluate(config, Candidates(**candidates), held_out, folder=folder)  # type: ignore[arg-type]
    return found, pd.read_parquet(found.predictions)


@pytest.fixture
def written(monkeypatch) -> list[int]:
    """How many prompts of the evaluation's answers were written, each time."""
    counts: list[int] = []
    own = cl.models.generation.write

    def counted(learner, encoded):
        counts.append(len(encoded))
        return own(learner, encoded)

    for module in ("cl.models.generation", "cl.evaluation.evaluate"):
        monkeypatch.setattr(f"{module}.write", counted)
    return counts


def test_a_sample_is_written_and_all_test_rows_are_read(writer, tmp_path, written) -> None:
    config = config_of(writer, generate_rows=10)
    version = saved(config, tmp_path / "1")
    found, rows = evaluated(config, tmp_path / "out", challenger=version)
    assert written[0] == 10 == found.rows and rows["experience"].value_counts().to_dict() == {"a": 5, "b": 5}
    everything = rows_of(["a", "b"], "test")
    assert found.numbers["nll"] == pytest.approx(score_rows(load_learner(version), everything)[1], rel=1e-5)


def test_what_is_written_later_of_the_same_rows_was_written_before() -> None:
    first = choose_written({"a": rows_of(["a"], "test")}, 8)
    second = choose_written({"a": rows_of(["a"], "test"), "b": rows_of(["b"], "test")}, 8)
    assert [len(rows) for rows in second.values()] == [4, 4]
    assert set(second["a"]["id"]) < set(first["a"]["id"])
    assert len(choose_written({"a": rows_of(["a"], "test")}, None)["a"]) == 12


def test_the_champions_stored_answers_are_not_written_again(writer, tmp_path, written) -> None:
    config = config_of(writer, generate_rows=10)
    version = saved(config, tmp_path / "1")
    _, before = evaluated(config, tmp_path / "one", challenger=version)
    written.clear()
    stored = tmp_path / "one" / "predictions.parquet"
    _, after = evaluated(config, tmp_path / "two", challenger=version, champion=version, answered=stored)
    assert written[:2] == [10, 0], "the challenger writes all of them, the champion none"
    for column in ("", "_score", "_brier", "_cut", "_blank"):
        assert after[f"champion{column}"].equals(before[f"challenger{column}"])


def test_with_nll_rows_are_scored_by_the_likelihood_and_only_those_of_the_smoke_test_are_written(
    writer, tmp_path, written
) -> None:
    config = config_of(writer, "nll", smoke_rows=3)
    version = saved(config, tmp_path / "1")
    found, rows = evaluated(config, tmp_path / "out", challenger=version, champion=version)
    assert written[0] == 3 and found.metric == "likelihood" and "ece" not in found.numbers
    learner = load_learner(version)
    losses = read_answers(learner, learner.encode(rows_of(["a", "b"], "test"))).losses
    assert rows["challenger_score"].to_numpy() == pytest.approx(np.exp(-losses))
    assert rows["champion_score"].equals(rows["challenger_score"]) and 0 < found.accuracy < 1
    assert found.accuracy == pytest.approx(np.exp(-losses).mean())
    assert "challenger_cut" not in rows and ANSWERS_GATE not in config.gates


def test_each_fault_is_found_where_the_true_answer_does_not_have_it() -> None:
    again = "we are so sorry " * 3
    cases = {
        "cut": ("it is lost", Prediction("it is", 1.0, cut=True)),
        "repeats": ("it is lost", Prediction(again, 1.0)),
        "blank": ("it is lost", Prediction("  ", 1.0)),
        "other_script": ("it is lost", Prediction("он потерян", 1.0)),
        "invalid_json": ('{"lost": true}', Prediction('{"lost": tr', 1.0)),
    }
    for fault, (truth, answer) in cases.items():
        found = find_faults([truth], [answer])
        assert {name for name, own in found.items() if own[0] == 1.0} == {fault}
    right = find_faults(
        [again, '{"a": 1}', "он"], [Prediction(again, 1.0), Prediction("[1]", 1.0), Prediction("да", 1.0)]
    )
    assert not any(np.nansum(own) for own in right.values())
    table = pd.DataFrame({"challenger_cut": [1.0, 0.0], "challenger_invalid_json": [np.nan, np.nan]})
    assert measure_faults(table, "challenger") == {"share_cut": 0.5}


def with_cut(now: int, before: int, rows: int = 100) -> tuple[Evaluation, pd.DataFrame]:
    """An evaluation of equal scores, in which the first answers of each model are cut."""
    evaluation, table = sample_evaluation([1.0] * rows, [1.0] * rows)
    columns = {"challenger_cut": now, "champion_cut": before}
    cut = {name: (np.arange(rows) < count).astype(float) for name, count in columns.items()}
    return evaluation, table.assign(**cut, challenger_blank=0.0, champion_blank=0.0)


@pytest.mark.parametrize(
    ("now", "before", "outcome"),
    [(30, 5, "fail"), (9, 5, "pass"), (5, 30, "pass"), (0, 0, "pass")],
)
def test_a_share_that_grows_beyond_the_margin_is_refused(now, before, outcome) -> None:
    verdict = AnswerFaults().judge(*with_cut(now, before), seed=0)
    assert (verdict.passed, verdict.undecided) == (outcome == "pass", False)
    assert {part.group: part.verdict for part in verdict.parts} == {"cut": outcome, "blank": "pass"}
    if outcome == "fail":
        assert verdict.measured == pytest.approx(0.25)
        assert "30.0% of the answers were cut" in verdict.why and "95% interval +1" in verdict.why


def test_one_answer_of_a_few_decides_nothing_and_a_first_version_has_nobody_to_be_compared_with() -> None:
    verdict = AnswerFaults().judge(*with_cut(1, 0, rows=10), seed=0)
    assert verdict.passed and verdict.undecided and verdict.rows_needed
    evaluation, table = with_cut(30, 5)
    first = AnswerFaults().judge(evaluation, table.drop(columns=["champion_cut", "champion_blank"]), seed=0)
    assert first.passed and "no answers of a champion" in first.why


def test_they_are_judged_by_default_where_answers_are_written(writer) -> None:
    config = config_of(writer)
    assert [gate["name"] for gate in config.gates] == ["no_regression", "forgetting", "answer_faults"]
    assert parse({}, where="test").gates == DEFAULT_GATES
    evaluation, table = with_cut(30, 5)
    report = judge(config, evaluation, table)
    assert [verdict.gate for verdict in report.verdicts if not verdict.passed] == ["answer_faults"]


def test_they_are_printed_in_one_line() -> None:
    evaluation, _ = sample_evaluation([1.0] * 4, [1.0] * 4)
    now, before = {"share_cut": 0.25, "share_blank": 0.0}, {"share_cut": 0.0, "share_blank": 0.0}
    changed = evaluation.model_copy(update={"numbers": now, "champion_numbers": before})
    assert describe_faults(changed) == [
        "of the answers, 25.0 % were cut at the most tokens of an answer (champion 0.0 %)"
    ]
    assert describe_faults(evaluation) == []
