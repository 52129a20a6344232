"""Score the simplest things that could work, on the same rows as a challenger: it should do better than these."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from cl import plugins
from cl.config import Config
from cl.config.capability_checks import has_baselines
from cl.models.build import new_learner
from cl.models.closed_form_head import ClosedFormHead, lowest_logit
from cl.models.frozen_features import feature_reader
from cl.models.learner import Learner
from cl.models.logistic_regression import fit_logistic
from cl.records import BASELINES, Baselines, BaselineScores, Score
from cl.records.evaluation import mean_score
from cl.stores.data.experiences import RowsOf
from cl.tasks import Encoded, Task
from cl.training.baseline_rows import BaselineRows, LearnedExperiences, RowsFile, sample_rows
from cl.training.strategies._closed_form import ClosedForm, Learned
from cl.training.strategies._sufficient_statistics import SufficientStatistics
from cl.training.strategies.regression import LogisticRegression

log = logging.getLogger(__name__)
WEIGHT, BIAS = "weight", "bias"
"""Names of what a regression has fitted."""
MAJORITY = "majority"
"""The baseline that answers a label which most rows have, and has no thresholds."""


def score_baselines(
    config: Config,
    learned: LearnedExperiences,
    rows_of: RowsOf,
    tests: Mapping[str, pd.DataFrame],
    folder: Path,
    *,
    kept: Path | None = None,
) -> Baselines:
    """Fit each baseline on frozen features of all rows, and score it on the test rows of each experience.

    A baseline that requires more than the task provides is left out. The features are those of the pretrained encoder,
    which reads each row once within `feature_cache.cached_in`.

    Args:
        config: the task, the model and the seed.
        learned: the experiences that a challenger will have learned.
        rows_of: returns the rows of experiences (ids, split).
        tests: experience -> the test rows to score them on.
        folder: each row's scores are written into it.
        kept: a file that keeps the features, and what was fitted on them, from cycle to cycle; None: none does.
    """
    if not config.evaluation.baselines or not has_baselines(plugins.build(Task, config.task)):
        return Baselines()
    learner = new_learner(config.with_baseline(next(iter(BASELINES))))
    head = _new_head(learner)
    file = RowsFile.of(kept, learner, head)
    learner, sample = sample_rows(learner, head, learned, rows_of, file, seed=config.seed)
    if not sample.is_fitted:
        sample = _with_regression(sample)
        file.save(sample, learned)
    together = pd.concat(tests.values(), ignore_index=True)
    encoded = learner.encode(together)
    whole = feature_reader(learner, head)(encoded)
    names = np.repeat(np.array(list(tests), dtype=object), [len(rows) for rows in tests.values()])
    table = pd.DataFrame({"id": together["id"], "experience": names})
    fitted, features = {}, sample.features
    several = sample.targets.ndim == 2
    sums = SufficientStatistics.empty(sample.whole.shape[1], len(sample.labels), gram=False, several=several)
    sums = sums.add(features.whole, features.targets, features.weights)
    for name in BASELINES:
        solved = replace(learner, head=_solve(name, learner, sample, sums))
        values = _answer(solved if name == MAJORITY else _with_thresholds(solved, sample), encoded, whole)
        scores = _score(learner, tests, values)
        table[name] = learner.task.row_scores(together, values)
        fitted[name] = BaselineScores(accuracy=(accuracy := mean_score(scores)), scores=scores)
        log.info("baseline %s: %s", name, "undecided" if accuracy is None else f"{accuracy:.4f}")
    folder.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path := folder / "baselines.parquet", index=False)
    return Baselines(of=fitted, rows=str(path))


def _new_head(learner: Learner) -> ClosedFormHead:
    """Return a head without labels that reads the layers that all baselines read."""
    strategy = LogisticRegression()
    return strategy.new_head(learner.feature_width, min(strategy.layers, learner.depth))


def _with_regression(sample: BaselineRows) -> BaselineRows:
    """Return the sample with the regression fitted on it, which begins where the last cycle's has ended."""
    strategy, features, before = LogisticRegression(), sample.features, sample.fitted
    weight, bias = fit_logistic(
        features.whole.float(),
        features.targets,
        len(sample.labels),
        decay=strategy.decay,
        weights=features.weights,
        start=(before[WEIGHT], before[BIAS]) if before else None,
    )
    if not weight.isfinite().all():
        raise strategy.unsolved
    return replace(sample, fitted={WEIGHT: weight, BIAS: bias}, is_fitted=True)


def _solve(name: str, learner: Learner, sample: BaselineRows, sums: SufficientStatistics) -> ClosedFormHead:
    """Return the head of a baseline; ``sums`` are those over the sample."""
    head = _new_head(learner)
    method: ClosedForm = plugins.build(ClosedForm, name)
    if isinstance(method, LogisticRegression):
        absent, weight, bias = sums.counts == 0, sample.fitted[WEIGHT], sample.fitted[BIAS]
        head.solve(weight, bias.masked_fill(absent, lowest_logit(weight[:, ~absent], bias[~absent])))
        return head.to(learner.device)
    solved, _ = method.with_best_head(learner, head, Learned(sums, device=learner.device), None)
    assert isinstance(solved.head, ClosedFormHead)
    return solved.head


@torch.inference_mode()
def _with_thresholds(learner: Learner, sample: BaselineRows) -> Learner:
    """Return a learner with the thresholds that its task chooses on the rows that it was fitted on, if it has any.

    A challenger's are chosen on validation rows, which are among them.
    """
    if not learner.task.has_thresholds:
        return learner
    logits = learner.head(sample.whole.float().to(learner.device)).cpu()
    answers = [[label for label, has in zip(sample.labels, row, strict=True) if has] for row in sample.targets > 0]
    rows = pd.DataFrame({learner.task.schema.answer.name: pd.Series(answers, dtype=object)})
    chosen = learner.task.thresholds(rows, learner.task.probabilities(logits).numpy(), sample.labels)
    return replace(learner, thresholds=None if chosen is None else tuple(map(float, chosen)))


@torch.inference_mode()
def _answer(learner: Learner, encoded: list[Encoded], whole: list[torch.Tensor]) -> list[Any]:
    """Return the answers to rows whose features (positions, width) are known."""
    if not encoded:
        return []
    logits = learner.head(torch.cat(whole).float().to(learner.device)).cpu()
    parts = learner.task.probabilities(logits).split([len(positions) for positions in whole])
    targets = learner.targets
    return [learner.task.decode(part.numpy(), row, targets).value for part, row in zip(parts, encoded, strict=True)]


def _score(learner: Learner, tests: Mapping[str, pd.DataFrame], values: list[Any]) -> list[Score]:
    """Return the scores on each experience."""
    scores, start = list[Score](), 0
    for id, rows in tests.items():
        score = learner.task.score_experience(id, rows, values[start : start + len(rows)])
        scores.append(score.model_copy(update={"metrics": {}}))
        start += len(rows)
    return scores
