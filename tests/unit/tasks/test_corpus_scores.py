"""Sums of counts give the scores that sacrebleu computes from the texts."""

import numpy as np
import pandas as pd
import pytest

from cl.records.evaluation import TOGETHER
from cl.tasks import SCORE_OF_SUMS, count_answers
from cl.tasks._text_scores import CORPUS_SCORES, TEXT_SCORES
from cl.tasks.text_generation import TextGeneration

WORDS = ("the", "card", "is", "lost", "we", "send", "a", "new", "one", "today", "我", "爱", "猫", "naïve")


def drawn_texts(rows: int, seed: int) -> tuple[list[str], list[str]]:
    """Return true answers of up to 12 words, and answers that share many of them; some answers are blank or short."""
    rng = np.random.default_rng(seed)
    truths = [" ".join(rng.choice(WORDS, int(rng.integers(1, 13)))) for _ in range(rows)]
    answers = []
    for truth in truths:
        words = [word if rng.uniform() < 0.7 else str(rng.choice(WORDS)) for word in truth.split()]
        answers.append(" ".join(words[: int(rng.integers(0, len(words) + 1))]))
    return truths, answers


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("metric", ["chrf", "bleu"])
def test_the_sum_of_the_counts_gives_the_score_that_sacrebleu_gives_all_texts(metric, seed) -> None:
    truths, answers = drawn_texts(60, seed)
    counts = count_answers(f"corpus_{metric}", truths, answers)
    ours = SCORE_OF_SUMS[f"corpus_{metric}"](counts.sum(0))
    assert ours == pytest.approx(CORPUS_SCORES[metric](truths, answers), abs=1e-12)
    assert 0.05 < ours < 0.95


@pytest.mark.parametrize("metric", ["chrf", "bleu"])
def test_many_sums_are_scored_together_as_each_alone(metric) -> None:
    truths, answers = drawn_texts(40, 7)
    counts = count_answers(f"corpus_{metric}", truths, answers)
    score = SCORE_OF_SUMS[f"corpus_{metric}"]
    samples = np.random.default_rng(0).integers(0, 40, (30, 12))
    together = score(counts[samples].sum(1))
    for sample, value in zip(samples, together, strict=True):
        expected = CORPUS_SCORES[metric]([truths[row] for row in sample], [answers[row] for row in sample])
        assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("truths", "answers"),
    [
        (["a b c d"], [""]),
        (["a b c d"], ["x y z w"]),
        (["a"], ["a"]),
        (["a b c d e"], ["a b c d e"]),
        (["", ""], ["", ""]),
    ],
)
@pytest.mark.parametrize("metric", ["chrf", "bleu"])
def test_blank_short_and_perfect_answers_score_as_sacrebleu_scores_them(metric, truths, answers) -> None:
    counts = count_answers(f"corpus_{metric}", truths, answers)
    ours = SCORE_OF_SUMS[f"corpus_{metric}"](counts.sum(0))
    assert ours == pytest.approx(CORPUS_SCORES[metric](truths, answers), abs=1e-12)


@pytest.mark.parametrize("name", ["rouge_l", "exact_match", "f1"])
def test_other_scores_of_all_rows_are_the_mean_of_the_rows(name) -> None:
    truths, answers = drawn_texts(30, 3)
    expected = np.mean([TEXT_SCORES[name](*pair) for pair in zip(truths, answers, strict=True)])
    assert SCORE_OF_SUMS[name](count_answers(name, truths, answers).sum(0)) == pytest.approx(expected, abs=1e-12)


def test_an_evaluation_stores_the_counts_of_every_such_score() -> None:
    assert set(TOGETHER) == set(SCORE_OF_SUMS)


def test_a_task_counts_what_its_metric_adds_up_and_nothing_where_it_reads() -> None:
    rows = pd.DataFrame({"completion": ["my card is lost", "a new one"]})
    counts = TextGeneration(metric="bleu").counts(rows, ["my card is lost", "a new card"])
    assert {name: own.shape for name, own in counts.items()} == {
        "corpus_bleu": (2, 10),
        "rouge_l": (2, 2),
        "exact_match": (2, 2),
        "f1": (2, 2),
    }
    assert counts["exact_match"].tolist() == [[1.0, 1.0], [0.0, 1.0]]
    assert TextGeneration(metric="nll").counts(rows, ["", ""]) == {}
    assert "corpus_chrf" not in TextGeneration(metric="f1").counts(rows, ["", ""])
