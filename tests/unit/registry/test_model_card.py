"""The model card: metadata that the Hub accepts, and nothing that differs between identical trainings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from cl.records import Evaluation, GateReport, Score, Training, Verdict
from cl.records.history import History
from cl.registry.model_card import CARD, exported_card, write_card
from cl.stores.version_folder import save_history

SCORES = [Score(experience="may", rows=40, value=0.75), Score(experience="june", rows=3, value=None, undecided="few")]


def evaluated(**changes: object) -> Evaluation:
    fields: dict[str, object] = {
        "metric": "accuracy", "challenger": SCORES, "accuracy": 0.75, "calibration_error": 0.1, "latency_ms": 5.0,
        "size_mb": 1.0, "numbers": {"ece": 0.1, "latency_p50_ms": 5.0, "rows_per_second": 90.0}, "predictions": "",
        **changes,
    }  # fmt: skip
    return Evaluation.model_validate(fields)


def trained(**changes: object) -> Training:
    fields: dict[str, object] = {
        "challenger": "somewhere", "experiences": ["june"], "epochs": 2, "steps": 4, "rows_new": 30, "rows_recalled": 9,
        "seconds": 3.0, "validation_score": 0.8, "losses": [1.0], **changes,
    }  # fmt: skip
    return Training.model_validate(fields)


def written(folder: Path, *, labels: list[str] | None = None, base: str = "org/small-bert", **changes: object) -> str:
    """Return the card of a version with these properties."""
    folder.mkdir()
    settings = {"max_length": 128, "windows": None}
    learner = {"task": "text_classification", "labels": labels or ["loan", "fee"], "model": settings}
    (folder / "learner.json").write_text(json.dumps(learner))
    save_history(History(learnt=["may", "june"], base_model=base, data_version="abc.dir", seed=3), folder)
    gates = GateReport(
        passed=True, verdicts=[Verdict(gate="floor", passed=True, undecided=True, why="few rows, 5.1 ms")]
    )
    write_card(folder, "shop", changes.pop("evaluation", evaluated()), gates, changes.pop("training", trained()))
    return (folder / CARD).read_text()


def metadata(card: ModelCard) -> Any:
    """Return what the Hub reads of a card."""
    return card.data


def test_time_and_place_leave_no_trace_in_a_card(tmp_path) -> None:
    slow = {"ece": 0.1, "latency_p50_ms": 50.0, "rows_per_second": 9.0}
    first = written(tmp_path / "here")
    second = written(
        tmp_path / "there",
        evaluation=evaluated(numbers=slow, latency_ms=50.0),
        training=trained(challenger="elsewhere", seconds=70.0),
    )
    assert first == second


@pytest.mark.parametrize(
    ("base", "shown"),
    [
        ("minilm", "sentence-transformers/all-MiniLM-L6-v2"),
        ("bert-base-uncased", "bert-base-uncased"),
        ("org/small-bert", "org/small-bert"),
        ("/home/ann/models/bert", None),
        ("../models/bert", None),
        ("", None),
    ],
)
def test_only_a_model_of_the_hub_is_named_as_the_base(tmp_path, base, shown) -> None:
    text = written(tmp_path / "v", base=base)
    card = ModelCard(text)
    assert metadata(card).base_model == shown
    assert ("a local one, or not recorded" in text) == (shown is None) and "ann" not in text


@pytest.mark.parametrize(
    "label",
    [
        "---",
        "a: b",
        "'\"",
        "# x",
        "- [ ] x",
        "{{ x }}",
        "!!python/object:os.system",
        "line\nbreak",
        "| cell",
        "é\u202eabc",
    ],
)
def test_a_name_from_data_changes_neither_metadata_nor_layout(tmp_path, label) -> None:
    plain = ModelCard(written(tmp_path / "plain", labels=["loan", "fee"]))
    scores = [Score(experience=label, rows=40, value=0.75)]
    card = ModelCard(written(tmp_path / "odd", labels=[label, "fee"], evaluation=evaluated(challenger=scores)))
    assert card.data.to_dict().keys() == plain.data.to_dict().keys()
    assert label in [result.dataset_config for result in metadata(card).eval_results], "in the metadata as it is"
    headings = [[line for line in each.text.splitlines() if line.startswith("#")] for each in (plain, card)]
    assert headings[0] == headings[1] and "\u202e" not in card.text
    rows = [line for line in card.text.splitlines() if line.startswith("| ")]
    assert all(row.replace("\\|", "").count("|") == 4 for row in rows)


def test_what_is_not_known_is_said(tmp_path) -> None:
    text = written(tmp_path / "v")
    for sentence in (
        "languages of its training data are not recorded", "No licence is recorded",
        "none of its labels was not measured",
        "longer than 128 tokens are cut", "too few rows to decide: floor",
    ):  # fmt: skip
        assert sentence in text
    assert "| june | 3 | undecided |" in text
    assert "AUROC of 0.912" in written(tmp_path / "w", evaluation=evaluated(numbers={"oos_auroc": 0.912}))


def test_a_card_lists_a_bounded_number_of_labels_and_experiences(tmp_path) -> None:
    many = [Score(experience=f"month-{number:04d}", rows=4, value=0.5) for number in range(400)]
    labels = [f"label {number}" for number in range(2_000)]
    text = written(tmp_path / "v", labels=labels, evaluation=evaluated(challenger=many))
    assert len(text) < 15_000 and "month-0399" in text and "month-0379" not in text and "and 1900 more" in text


def test_a_version_of_an_older_release_is_exported_with_a_card_too(tmp_path) -> None:
    written(tmp_path / "v")
    (tmp_path / "v" / CARD).unlink()
    card = ModelCard(exported_card(tmp_path / "v", "shop", version="7", usage="Run this."))
    assert metadata(card).pipeline_tag == "text-classification" and card.text.lstrip().startswith(
        "# shop, version 7\n\nRun this."
    )
