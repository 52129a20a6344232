"""Drift where answers are written: prompts by an encoder, answers by length, refusals and likelihood."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from cl import plugins
from cl.config import Config
from cl.drift.detect import compare_snapshots
from cl.drift.detectors.refusals import Refusals
from cl.models.snapshot import Snapshot
from cl.records import Drift

PROMPTS = (
    "please help the old card",
    "where is my parcel",
    "the money is late",
    "my order is lost",
    "a new card please",
)
OTHER = ("crimson zebra quarks", "zebra waltz quarks", "quarks and crimson ivy", "ivy waltz zebra", "waltz of crimson")
ANSWERS = ("we send a new card today", "it is on its way", "your money comes on monday", "we look for it and write")
REFUSING = ("I’m unable to say that today", "I cannot help with it", "sorry, I don't know that", "As an AI I do not")


def config_of(encoder: Path | None, **drift: Any) -> Config:
    chosen = {} if encoder is None else {"encoder": str(encoder)}
    return Config.model_validate({"task": "text_generation", "drift": {"report": "off", **chosen, **drift}})


def snapshot(
    rows: int,
    seed: int,
    *,
    prompts: tuple[str, ...] = PROMPTS,
    answers: tuple[str, ...] = ANSWERS,
    repeated: int = 1,
    nll: float = 1.0,
) -> Snapshot:
    """Return rows as a writing champion sees them; each answer is said so many times."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "id": [f"r{seed}-{row}" for row in range(rows)],
            "text": rng.choice(prompts, rows),
            "label": "text",
            "prediction": "text",
            "confidence": rng.beta(8, 1, rows),
            "score": rng.uniform(size=rows),
            "nll": rng.gamma(4, nll / 4, rows),
            "answer": [" ".join([answer] * repeated) for answer in rng.choice(answers, rows)],
        }
    )
    return Snapshot(frame, np.zeros((rows, 0), dtype=np.float32), ("text",))


def compared(config: Config, reference: Snapshot, new: Snapshot, folder: Path, name: str = "new") -> Drift:
    return compare_snapshots(config, name, reference, new, folder=folder)


def alarms(drift: Drift) -> set[str]:
    return {finding.detector for finding in drift.findings if finding.drifted}


@pytest.mark.parametrize("detector", ["embedding_mmd", "novelty", "classifier_test"])
def test_where_only_prompts_move_the_encoder_shows_it_and_no_answer_does(detector, tiny_model, tmp_path) -> None:
    config = config_of(tiny_model, detectors=[detector, "confidence", "answer_length", "refusals", "answer_nll"])
    drift = compared(config, snapshot(150, 0), snapshot(150, 1, prompts=OTHER), tmp_path)
    assert alarms(drift) == {detector} and drift.types == ["inputs"]
    (finding,) = (finding for finding in drift.findings if finding.drifted)
    assert {word.name for word in finding.moved} & {"zebra", "crimson", "waltz", "quarks"} and finding.examples


@pytest.mark.parametrize(
    ("moved", "detector", "word"),
    [({"repeated": 3}, "answer_length", None), ({"answers": REFUSING}, "refusals", "cannot")],
)
def test_where_only_answers_move_no_prompt_is_to_blame(moved, detector, word, tiny_model, tmp_path) -> None:
    drift = compared(config_of(tiny_model), snapshot(150, 0), snapshot(150, 1, **moved), tmp_path)
    found = alarms(drift)
    assert detector in found and found <= {"answer_length", "refusals"}
    (finding,) = (finding for finding in drift.findings if finding.detector == detector)
    assert len(finding.examples) == 20 and set(finding.examples) <= {f"r1-{row}" for row in range(150)}
    assert word is None or word in {group.name for group in finding.moved}


def test_true_answers_that_the_champion_holds_improbable_are_a_change_of_meaning(tiny_model, tmp_path) -> None:
    drift = compared(config_of(tiny_model), snapshot(150, 0), snapshot(150, 1, nll=2.0), tmp_path)
    assert alarms(drift) == {"answer_nll"} and drift.types == ["concept"]
    assert not alarms(compared(config_of(tiny_model), snapshot(150, 0, nll=2.0), snapshot(150, 1), tmp_path))


def test_where_nothing_moves_alarms_are_no_more_frequent_than_the_level(tiny_model, tmp_path) -> None:
    """At alpha 0.45, the first check has a level of 0.22: of 25 streams, 14 alarms or more are seen once in 5,000."""
    config, raised = config_of(tiny_model, alpha=0.45), 0
    for seed in range(25):
        raised += compared(config, snapshot(60, 2 * seed), snapshot(60, 2 * seed + 1), tmp_path, name=str(seed)).drifted
    assert raised <= 13


def test_a_reference_of_before_answers_were_kept_is_not_enough_data_and_no_alarm(tmp_path) -> None:
    old = snapshot(100, 0)
    old.frame.drop(columns=["answer", "nll"], inplace=True)
    drift = compared(config_of(None), old, snapshot(100, 1, repeated=3), tmp_path)
    summaries = {finding.detector: finding.summary for finding in drift.findings}
    assert not drift.drifted
    for name in ("answer_length", "refusals", "answer_nll"):
        assert summaries[name].startswith("not enough data: needs 20")


def test_an_encoder_brings_the_detectors_of_embeddings_and_without_one_they_are_refused(tiny_model) -> None:
    assert not {"embedding_mmd", "novelty"} & set(config_of(None).drift.detectors)
    assert {"embedding_mmd", "novelty"} <= set(config_of(tiny_model).drift.detectors)
    assert {"embedding_mmd", "novelty"} <= set(config_of(tiny_model).drift.traffic.detectors)
    with pytest.raises(ValidationError, match=r"needs embeddings.*set drift\.encoder, or choose others; there are: "):
        config_of(None, detectors=["embedding_mmd"])
    with pytest.raises(ValidationError, match="'refusals' needs a language model that writes"):
        Config.model_validate({"task": "text_classification", "drift": {"detectors": ["refusals"]}})


def test_detectors_of_written_answers_are_not_those_of_labels() -> None:
    labels = Config.model_validate({"task": "text_classification"}).drift
    written = {"answer_length", "refusals", "answer_nll"}
    assert not written & {*labels.detectors, *labels.traffic.detectors}
    assert plugins.find("detectors", "answer_nll").needs_labels


@pytest.mark.parametrize(
    ("answer", "refuses"),
    [
        ("I can't share that.", True),
        ("I CAN’T   share that.", True),
        ("We cannot be reached on Sunday.", False),
        (f"{'It is long to explain. ' * 5}I cannot say more.", False),
        ("", False),
    ],
)
def test_an_answer_refuses_by_a_phrase_in_its_beginning(answer, refuses) -> None:
    assert Refusals().refuses(answer) is refuses


def test_a_blank_phrase_which_every_answer_contains_is_refused() -> None:
    with pytest.raises(ValidationError, match="blank phrase"):
        Refusals(phrases=("no", " "))
