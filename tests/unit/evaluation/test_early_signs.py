"""Early signs of forgetting, on models whose probabilities are known: one of them holds every token equally likely."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cl.config import parse
from cl.errors import ConfigError
from cl.evaluation.early_signs import measure_divergence, measure_general
from cl.evaluation.text_files import read_general
from cl.gating.gates.rule import Rule
from cl.models.build import grow_labels, new_learner
from cl.models.language_learner import LanguageLearner
from cl.records import Evaluation, Score
from cl.reports.measurements import describe_early_signs, list_measurements
from cl.tasks import IGNORED
from tests.support.tiny import made_tiny_writer

ROWS = pd.DataFrame(
    {
        "id": ["a", "b", "c"],
        "prompt": ["where is my card", "please help me", "the old box is broken and my money is lost"],
        "completion": ["the card is lost", "pay the fee", "send new money"],
    }
)


@pytest.fixture(scope="module")
def writer(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_tiny_writer(tmp_path_factory.mktemp("writer") / "model", tiny_model)


def made(writer: Path, *, certain: float) -> LanguageLearner:
    """A model whose logits are `certain` times those of random weights; 0: every token is equally likely."""
    raw = {"task": "text_generation", "model": {"name": str(writer), "max_length": 32}}
    learner = grow_labels(new_learner(parse(raw, where="test")), ["text"], seed=0)
    assert isinstance(learner, LanguageLearner)
    with torch.no_grad():
        norm = next(module for name, module in learner.encoder.named_modules() if name.endswith("model.norm"))
        norm.weight.mul_(certain)
    learner.eval_mode()
    return learner


def probabilities(learner: LanguageLearner) -> np.ndarray:
    """The probabilities (tokens, vocabulary) at all places of the true answers."""
    parts = []
    for row in learner.encode(ROWS):
        (batch,) = learner.batches([row], None)
        with torch.no_grad():
            logits = learner.logits(batch)[batch.targets != IGNORED].double().numpy()
        powers = np.exp(logits)
        parts.append(powers / powers.sum(1, keepdims=True))
    return np.concatenate(parts)


def test_the_divergence_is_the_mean_over_tokens_from_champion_to_challenger(writer) -> None:
    even, uneven = made(writer, certain=0.0), made(writer, certain=30.0)
    held = probabilities(uneven)
    words = held.shape[1]
    from_even = np.mean(np.sum((1 / words) * (np.log(1 / words) - np.log(held)), axis=1))
    from_uneven = np.mean(np.sum(held * (np.log(held) - np.log(1 / words)), axis=1))
    assert abs(from_even - from_uneven) > 0.1, "the two directions differ"
    assert measure_divergence(even, uneven, [ROWS])["kl_from_champion"] == pytest.approx(from_even, rel=1e-4)
    assert measure_divergence(uneven, even, [ROWS])["kl_from_champion"] == pytest.approx(from_uneven, rel=1e-4)
    assert measure_divergence(uneven, uneven, [ROWS]) == {"kl_from_champion": 0.0}
    assert measure_divergence(even, uneven, [ROWS.iloc[:0]]) == measure_divergence(even, uneven, []) == {}


def test_a_model_without_any_knowledge_needs_the_logarithm_of_its_vocabulary_for_general_texts(writer) -> None:
    even = made(writer, certain=0.0)
    texts = read_general(None, Path())
    assert measure_general(even, texts)["general_nll"] == pytest.approx(np.log(len(even.tokenizer)), rel=1e-5)
    assert measure_general(even, []) == {}


def test_forty_different_general_texts_ship_with_the_package() -> None:
    texts = read_general(None, Path())
    assert len(texts) == len(set(texts)) == 40 and all(30 < len(text) < 120 for text in texts)


def test_general_texts_may_be_ones_own(tmp_path) -> None:
    (tmp_path / "own.txt").write_text("one text\n\n another \n", encoding="utf-8")
    (tmp_path / "empty.txt").write_text("\n")
    assert read_general("own.txt", tmp_path) == ["one text", "another"]
    for file, why in (("none.txt", "cannot be read"), ("../own.txt", "is outside"), ("empty.txt", "has no text")):
        with pytest.raises(ConfigError, match=rf"evaluation\.general_rows: .*{why}"):
            read_general(file, tmp_path)


def evaluated(now: dict[str, float], before: dict[str, float]) -> Evaluation:
    return Evaluation(
        metric="chrf", accuracy=0.5, calibration_error=0, latency_ms=1, size_mb=1, predictions="",
        challenger=[Score(experience="1", rows=40, value=0.5)], numbers=now, champion_numbers=before,
    )  # fmt: skip


SIGNS = evaluated({"nll": 1.5, "general_nll": 4.25, "kl_from_champion": 0.125}, {"nll": 2.0, "general_nll": 4.0})


def test_they_are_printed_in_one_line_and_listed_with_the_champions() -> None:
    assert describe_early_signs(SIGNS) == [
        "NLL of the true answers 1.500 (champion 2.000), NLL of general texts 4.250 (champion 4.000), "
        "KL from the champion on new prompts 0.125 nats per token"
    ]
    assert describe_early_signs(evaluated({}, {})) == []
    listed = {one.name: (one.words, one.challenger, one.champion) for one in list_measurements(SIGNS)}
    assert listed["general_nll"] == ("negative log-likelihood of general texts, nats per token", 4.25, 4.0)


@pytest.mark.parametrize(
    ("rule", "passes"),
    [
        ({"of": "kl_from_champion", "max": 0.2}, True),
        ({"of": "kl_from_champion", "max": 0.1}, False),
        ({"of": "general_nll", "relative": {"margin": 0.3}}, True),
        ({"of": "general_nll", "relative": {"margin": 0.2}}, False),
        ({"of": "general_nll", "max": 5.0}, True),
    ],
)
def test_rules_bound_them_and_compare_them_with_the_champions(rule, passes) -> None:
    assert Rule(**rule).judge(SIGNS, pd.DataFrame({"challenger_score": [0.5]}), seed=0).passed is passes
