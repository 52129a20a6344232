"""The paired bootstrap of scores of all rows together, against one that reads the texts of every sample again."""

import numpy as np
import pandas as pd
import pytest

from cl.evaluation.compare_together import compare_together, store_counts
from cl.gating.gates.rule import Rule
from cl.gating.paired_counts import PairedCounts
from cl.registry.register import evaluation_metrics
from cl.reports.measurements import describe_comparisons
from cl.tasks import SCORE_OF_SUMS, count_answers
from cl.tasks._text_scores import CORPUS_SCORES
from cl.testing import sample_evaluation

WORDS = ("the", "card", "is", "lost", "we", "send", "a", "new", "one", "today", "in", "your", "account", "now")


def answered(rng: np.random.Generator, truths: list[str], right: float) -> list[str]:
    """Return answers, each word of which is right with this probability."""
    return [
        " ".join(word if rng.uniform() < right else str(rng.choice(WORDS)) for word in truth.split())
        for truth in truths
    ]


def texts(rows: int, *, before: float, now: float, seed: int) -> tuple[list[str], list[str], list[str]]:
    """Return true answers, and those of champion and challenger."""
    rng = np.random.default_rng(seed)
    truths = [" ".join(rng.choice(WORDS, int(rng.integers(5, 15)))) for _ in range(rows)]
    return truths, answered(rng, truths, before), answered(rng, truths, now)


def paired(metric: str, truths: list[str], champion: list[str], challenger: list[str]) -> PairedCounts:
    return PairedCounts(metric, count_answers(metric, truths, champion), count_answers(metric, truths, challenger))


def stored(metric: str, truths: list[str], champion: list[str], challenger: list[str], names=("may", "june")):
    """Return an evaluation and its rows with the counts, as an evaluation stores them."""
    evaluation, rows = sample_evaluation([0.5] * len(truths), [0.5] * len(truths), experiences=names)
    for who, own in (("champion", champion), ("challenger", challenger)):
        rows[f"{who}_{metric}"] = store_counts(count_answers(metric, truths, own))
    return evaluation, rows


@pytest.mark.parametrize("metric", ["chrf", "bleu"])
def test_the_interval_is_that_of_samples_whose_texts_are_read_again(metric) -> None:
    truths, champion, challenger = texts(30, before=0.6, now=0.7, seed=1)
    ours = paired(f"corpus_{metric}", truths, champion, challenger)
    rng, score = np.random.default_rng(5), CORPUS_SCORES[metric]
    differences = []
    for _ in range(300):
        sample = rng.integers(0, 30, 30)
        sides = [[own[row] for row in sample] for own in (truths, champion, challenger)]
        differences.append(score(sides[0], sides[2]) - score(sides[0], sides[1]))
    bounds = ours.interval(resamples=4_000, seed=0)
    low, high = np.quantile(differences, [0.025, 0.975])
    spread = float(np.std(differences))
    assert ours.difference == pytest.approx(score(truths, challenger) - score(truths, champion), abs=1e-12)
    assert (bounds.low, bounds.high) == pytest.approx((low, high), abs=0.4 * spread)
    assert ours.draws(resamples=4_000, seed=0).std() == pytest.approx(spread, rel=0.15)


def test_one_draw_of_rows_is_scored_exactly_as_its_texts() -> None:
    truths, champion, challenger = texts(12, before=0.6, now=0.7, seed=2)
    ours = paired("corpus_chrf", truths, champion, challenger)
    rng = np.random.default_rng(9)
    times = rng.multinomial(12, np.full(12, 1 / 12), size=3)
    drawn = ours.draws(resamples=3, seed=9)
    for counts, difference in zip(times, drawn, strict=True):
        rows = np.repeat(np.arange(12), counts)
        sides = [[own[row] for row in rows] for own in (truths, champion, challenger)]
        expected = CORPUS_SCORES["chrf"](sides[0], sides[2]) - CORPUS_SCORES["chrf"](sides[0], sides[1])
        assert difference == pytest.approx(expected, abs=1e-12)


def test_both_models_are_drawn_on_the_same_rows() -> None:
    """Rows differ far more than the models do: only pairs show that one model is a little better on each."""
    truths, champion, _ = texts(60, before=0.5, now=0.5, seed=3)
    better = [f"{answer} {truth.split()[-1]}" for answer, truth in zip(champion, truths, strict=True)]
    ours = paired("corpus_chrf", truths, champion, better)
    alone = ours.draws(resamples=1_000, seed=0).std()
    shuffled = np.random.default_rng(0).permutation(60)
    apart = PairedCounts("corpus_chrf", ours.before, ours.now[shuffled]).draws(resamples=1_000, seed=0).std()
    assert alone < 0.5 * apart


def test_equal_models_are_called_worse_no_more_often_than_the_level() -> None:
    alarms = 0
    for seed in range(120):
        truths, champion, challenger = texts(40, before=0.6, now=0.6, seed=100 + seed)
        alarms += paired("corpus_chrf", truths, champion, challenger).loss_p(resamples=300, seed=seed) <= 0.05
    assert alarms <= 13  # of 120 at 5 %, more are seen once in a thousand times


@pytest.mark.parametrize("metric", ["corpus_chrf", "corpus_bleu", "rouge_l"])
def test_a_rule_refuses_a_loss_that_the_rows_show_and_names_its_interval(metric) -> None:
    truths, champion, challenger = texts(120, before=0.8, now=0.5, seed=4)
    evaluation, rows = stored(metric, truths, champion, challenger)
    verdict = Rule(of=metric, relative={"margin": 0.02}).judge(evaluation, rows, seed=0)
    (part,) = verdict.parts
    assert not verdict.passed and part.p_value is not None and part.p_value < 0.001 and part.rows == 120
    expected = SCORE_OF_SUMS[metric](count_answers(metric, truths, challenger).sum(0)) - SCORE_OF_SUMS[metric](
        count_answers(metric, truths, champion).sum(0)
    )
    assert part.measured == pytest.approx(float(expected), abs=1e-9)
    assert ("95% interval" in part.why) == metric.startswith("corpus_")


def test_a_rule_leaves_a_loss_that_too_few_rows_show_undecided_and_says_how_many_would_decide() -> None:
    truths, champion, challenger = texts(12, before=0.62, now=0.5, seed=6)
    evaluation, rows = stored("corpus_chrf", truths, champion, challenger)
    verdict = Rule(of="corpus_chrf", relative={"margin": 0.02}).judge(evaluation, rows, seed=0)
    assert verdict.passed and verdict.undecided
    assert verdict.rows_needed is not None and 12 < verdict.rows_needed < 1_000


def test_a_rule_on_each_experience_corrects_for_their_number_and_finds_the_one_that_lost() -> None:
    truths, champion, challenger = texts(120, before=0.8, now=0.8, seed=7)
    challenger[60:] = texts(120, before=0.8, now=0.4, seed=7)[2][60:]
    evaluation, rows = stored("corpus_chrf", truths, champion, challenger)
    verdict = Rule(of="corpus_chrf", on="each_experience", relative={"margin": 0.02}).judge(evaluation, rows, seed=0)
    assert [(part.group, part.verdict) for part in verdict.parts] == [("june", "fail"), ("may", "pass")]


def test_a_rule_bounds_the_score_of_all_rows_together_also_of_a_slice() -> None:
    truths, champion, challenger = texts(40, before=0.7, now=0.7, seed=8)
    evaluation, rows = stored("corpus_chrf", truths, champion, challenger)
    rows["chars"] = [10] * 20 + [100] * 20
    verdict = Rule(of="corpus_chrf", on={"length": [50]}, min=0.99).judge(evaluation, rows, seed=0)
    assert len(verdict.parts) == 2 and not verdict.passed
    short = CORPUS_SCORES["chrf"](truths[:20], challenger[:20])
    assert short in [pytest.approx(part.measured, abs=1e-12) for part in verdict.parts]


def test_counts_survive_a_parquet_file(tmp_path) -> None:
    truths, champion, challenger = texts(20, before=0.8, now=0.6, seed=9)
    _, rows = stored("corpus_bleu", truths, champion, challenger)
    rows.to_parquet(tmp_path / "rows.parquet", index=False)
    again = PairedCounts.of_rows("corpus_bleu", pd.read_parquet(tmp_path / "rows.parquet"))
    assert again is not None and again.difference == paired("corpus_bleu", truths, champion, challenger).difference


def test_a_cycle_shows_the_scores_of_all_rows_together_with_their_interval() -> None:
    truths, champion, challenger = texts(50, before=0.6, now=0.8, seed=10)
    evaluation, rows = stored("corpus_chrf", truths, champion, challenger)
    (comparison,) = compare_together(rows, seed=0)
    evaluation = evaluation.model_copy(update={"comparisons": [comparison]})
    (line,) = describe_comparisons(evaluation)
    assert line.startswith("all 50 written rows together: chrF ") and "95 % interval +" in line
    metrics = evaluation_metrics(evaluation)
    assert metrics["challenger/corpus_chrf"] == pytest.approx(CORPUS_SCORES["chrf"](truths, challenger))
    assert (
        metrics["difference/corpus_chrf_low"]
        < metrics["difference/corpus_chrf"]
        < metrics["difference/corpus_chrf_high"]
    )
    assert compare_together(rows.drop(columns="champion_corpus_chrf"), seed=0) == []
