"""The simplest things that could work, scored on the same rows as a challenger."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from cl.models.frozen_features import frozen_features
from cl.models.inference import answer
from cl.models.logistic_regression import fit_logistic
from cl.models.persistence import load_learner
from cl.records import BASELINES
from cl.training.baselines import score_baselines
from cl.training.strategies import load_states
from cl.training.train import train


@pytest.fixture
def rows_of(sentences):
    """Two experiences; loans are three times as frequent as fees."""

    def rows(ids: list[str], split: str) -> pd.DataFrame:
        sizes = {"train": 40, "validation": 8, "test": 20}
        parts = [
            sentences(["loan", "loan", "fee", "loan"], sizes[split], seed=seed, prefix=f"{id}-{split}-")
            for seed, id in enumerate(ids)
        ]
        return pd.concat(parts, ignore_index=True) if parts else sentences(["a"], 0)

    return rows


def tests_of(rows_of, *ids: str) -> dict[str, pd.DataFrame]:
    return {id: rows_of([id], "test") for id in ids}


def test_every_baseline_is_scored_on_every_experience_and_row(tiny_config, rows_of, tmp_path) -> None:
    scored = score_baselines(tiny_config(), ["1", "2"], rows_of, tests_of(rows_of, "1", "2"), tmp_path / "new")
    table = pd.read_parquet(scored.rows)
    assert set(scored.of) == set(BASELINES) and len(table) == 40
    for name, baseline in scored.of.items():
        assert [score.experience for score in baseline.scores] == ["1", "2"]
        by_row = table.groupby("experience")[name].mean()
        assert by_row.tolist() == pytest.approx([score.value for score in baseline.scores])
        assert baseline.accuracy == pytest.approx(np.mean(by_row))
    assert scored.of["majority"].accuracy == pytest.approx(0.75)
    assert scored.strongest != "majority" and scored.of["regression"].accuracy > 0.75


def test_baselines_that_nobody_wants_cost_nothing(tiny_config, rows_of, tmp_path) -> None:
    scored = score_baselines(tiny_config(evaluation={"baselines": False}), ["1"], rows_of, {}, tmp_path / "new")
    assert scored.strongest is None and not (tmp_path / "new").exists()


def test_virtual_tokens_of_the_tuning_are_no_part_of_a_baseline(tiny_config, tiny_model, rows_of, tmp_path) -> None:
    usual = score_baselines(tiny_config(), ["1"], rows_of, tests_of(rows_of, "1"), tmp_path / "a")
    prompted = tiny_config(model={"name": str(tiny_model), "dropout": 0.0, "tuning": "prompt"})
    assert score_baselines(prompted, ["1"], rows_of, tests_of(rows_of, "1"), tmp_path / "b").of == usual.of


def test_tagged_sentences_have_baselines_too(tiny_config, tmp_path) -> None:
    rows = pd.DataFrame(
        [{"tokens": ["anna", "lives", "in", "paris"], "tags": ["B-per", "O", "O", "B-loc"], "date": None, "id": "1"}]
    )
    scored = score_baselines(
        tiny_config(task="token_classification"),
        ["1"],
        lambda ids, split: rows.assign(id=split),
        {"1": rows.assign(id="test")},
        tmp_path / "new",
    )
    assert scored.of["majority"].accuracy == 0.0 and scored.of["regression"].accuracy == 1.0


def test_the_regression_is_that_of_another_library() -> None:
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(size=(200, 6)), rng.integers(0, 3, 200)
    inputs[np.arange(200), targets] += 1.0
    inputs /= np.sqrt((inputs**2).mean())
    import torch

    weight, bias = fit_logistic(torch.tensor(inputs).float(), torch.tensor(targets), 3, decay=1e-2)
    peer = LogisticRegression(C=1 / (200 * 1e-2), max_iter=1_000).fit(inputs, targets)
    ours = torch.tensor(inputs).float() @ weight + bias
    np.testing.assert_allclose(ours.softmax(1).numpy(), peer.predict_proba(inputs), atol=2e-3)


@pytest.mark.parametrize("strategy", ["regression", "majority"])
def test_a_baseline_is_a_strategy_that_goes_on_learning(strategy, tiny_config, rows_of, tmp_path) -> None:
    config = tiny_config(strategy=strategy)
    train(config, champion=None, new=["1"], past=[], rows_of=rows_of, folder=tmp_path / "1")
    train(config, champion=tmp_path / "1", new=["2"], past=["1"], rows_of=rows_of, folder=tmp_path / "2")
    train(config, champion=None, new=["1", "2"], past=[], rows_of=rows_of, folder=tmp_path / "both")
    assert len(load_states(tmp_path / "2")[strategy].rows) == 80
    shown = rows_of(["1", "2"], "test")
    later, once = (answer(load_learner(tmp_path / name), shown) for name in ("2", "both"))
    assert later.values == once.values
    if strategy == "majority":
        assert set(later.values) == {"loan"} and later.predictions[0].confidence == pytest.approx(0.75)
    else:
        learner = load_learner(tmp_path / "2")
        features = frozen_features(learner, learner.head, shown)
        assert (learner.head(features.whole.float()).argmax(1) == features.targets).float().mean() > 0.75
