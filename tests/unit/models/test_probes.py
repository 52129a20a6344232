"""Probes: by the probabilities of its own answers, a version is told from its base and from another version."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cl.config import parse
from cl.models.generation import write
from cl.models.persistence import load_learner
from cl.models.probes import KEPT, TOKENS, load_probes, save_probes, take_probes
from tests.support.tiny import made_tiny_writer
from tests.support.writing_shop import save_writer

TEXTS = [
    "where is my card", "please help me", "the old box is broken", "pay the fee", "send the new shoe back to york",
    "anna lives in paris",
]  # fmt: skip


@pytest.fixture(scope="module")
def folders(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("probes")
    base = made_tiny_writer(root / "base", tiny_model)
    raw = {
        "task": {"name": "text_generation", "max_new_tokens": TOKENS},
        "model": {"name": str(base), "max_length": 64, "dropout": 0.0},
    }
    return {name: save_writer(parse(raw, where="test"), root / name, seed=int(name)) for name in ("1", "2")}


def test_the_tokens_are_what_the_version_writes_and_their_chances_those_of_its_answers(folders) -> None:
    learner = load_learner(folders["1"])
    for probe in take_probes(learner, TEXTS):
        text = TEXTS[_prompts(learner).index(probe.prompt)]
        (answer,) = write(learner, learner.encode(learner.task.schema.frame([text])))
        assert learner.tokenizer.decode(probe.tokens, skip_special_tokens=True).strip() == answer.value
        assert answer.confidence == pytest.approx(_mean_chance(probe.logs), rel=1e-4)


def test_those_that_tell_the_version_best_from_its_base_are_kept(folders) -> None:
    learner = load_learner(folders["1"])
    every = take_probes(learner, TEXTS)
    assert len(every) == KEPT < len(TEXTS)
    distances = [probe.distance(probe.base) for probe in every]
    assert distances == sorted(distances, reverse=True) and distances[-1] > 0.1
    assert all(probe.distance(probe.logs) == 0 == probe.distance_of_base(probe.base) for probe in every)
    again = take_probes(learner, TEXTS)
    assert again == every, "adapters are back on, and the same probes come out"


def test_another_version_gives_the_same_tokens_other_chances(folders) -> None:
    first, second = (take_probes(load_learner(folders[name]), TEXTS) for name in ("1", "2"))
    assert [probe.tokens for probe in first] != [probe.tokens for probe in second]


def test_probes_are_read_as_they_were_saved_and_a_version_may_have_none(folders, tmp_path) -> None:
    assert load_probes(tmp_path) == []
    probes = take_probes(load_learner(folders["2"]), TEXTS)
    save_probes(probes, tmp_path)
    assert load_probes(tmp_path) == probes
    save_probes([replace(probes[0], tokens=[1], logs=[-0.5], base=[-1.0])], tmp_path)
    (own,) = load_probes(tmp_path)
    assert own.distance(own.base) == 0.5


def _prompts(learner) -> list[list[int]]:
    return [row.context.prompt for row in learner.encode(learner.task.schema.frame(TEXTS))]


def _mean_chance(logs: list[float]) -> float:
    import math

    return math.exp(sum(logs) / len(logs))
