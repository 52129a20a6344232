"""The simplest things that could work, scored on the same rows as a challenger."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from sklearn.linear_model import LogisticRegression

from cl.models.frozen_features import frozen_features
from cl.models.inference import answer
from cl.models.logistic_regression import fit_logistic
from cl.models.persistence import load_learner
from cl.records import BASELINES, Baselines
from cl.training import baseline_rows
from cl.training.baseline_rows import LearnedExperiences
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


def learned(*ids: str) -> LearnedExperiences:
    return LearnedExperiences(ids, {id: f"digest of {id}" for id in ids})


def drawn(rows_of, *ids: str) -> dict[str, pd.DataFrame]:
    return {id: rows_of([id], "test") for id in ids}


def test_every_baseline_is_scored_on_every_experience_and_row(tiny_config, rows_of, tmp_path) -> None:
    scored = score_baselines(tiny_config(), learned("1", "2"), rows_of, drawn(rows_of, "1", "2"), tmp_path / "new")
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
    scored = score_baselines(tiny_config(evaluation={"baselines": False}), learned("1"), rows_of, {}, tmp_path / "new")
    assert scored.strongest is None and not (tmp_path / "new").exists()


def test_virtual_tokens_of_the_tuning_are_no_part_of_a_baseline(tiny_config, tiny_model, rows_of, tmp_path) -> None:
    usual = score_baselines(tiny_config(), learned("1"), rows_of, drawn(rows_of, "1"), tmp_path / "a")
    prompted = tiny_config(model={"name": str(tiny_model), "dropout": 0.0, "tuning": "prompt"})
    assert score_baselines(prompted, learned("1"), rows_of, drawn(rows_of, "1"), tmp_path / "b").of == usual.of


def test_tagged_sentences_have_baselines_too(tiny_config, tmp_path) -> None:
    rows = pd.DataFrame(
        [{"tokens": ["anna", "lives", "in", "paris"], "tags": ["B-per", "O", "O", "B-loc"], "date": None, "id": "1"}]
    )
    scored = score_baselines(
        tiny_config(task="token_classification"),
        learned("1"),
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


def score_in_turn(config, rows_of, folder, *, kept) -> Baselines:
    """Score after the first experience, and then after both."""
    score_baselines(config, learned("1"), rows_of, drawn(rows_of, "1"), folder / "first", kept=kept)
    return score_baselines(config, learned("1", "2"), rows_of, drawn(rows_of, "1", "2"), folder / "then", kept=kept)


def test_kept_features_give_the_scores_of_reading_all_rows_again(tiny_config, rows_of, tmp_path) -> None:
    at_once = score_baselines(tiny_config(), learned("1", "2"), rows_of, drawn(rows_of, "1", "2"), tmp_path / "at once")
    in_turn = score_in_turn(tiny_config(), rows_of, tmp_path, kept=tmp_path / "kept.safetensors")
    assert in_turn.of == at_once.of
    pd.testing.assert_frame_equal(pd.read_parquet(in_turn.rows), pd.read_parquet(at_once.rows))


def test_a_cycle_reads_the_rows_of_new_experiences_alone(tiny_config, rows_of, tmp_path) -> None:
    asked = []

    def noting(ids: list[str], split: str) -> pd.DataFrame:
        asked.append((tuple(ids), split))
        return rows_of(ids, split)

    kept = tmp_path / "kept.safetensors"
    score_baselines(tiny_config(), learned("1"), noting, drawn(rows_of, "1"), tmp_path / "first", kept=kept)
    asked.clear()
    score_baselines(tiny_config(), learned("1", "2"), noting, drawn(rows_of, "1"), tmp_path / "then", kept=kept)
    assert asked == [(("2",), "train"), (("2",), "validation")]


def test_a_repeated_cycle_has_the_same_scores_to_the_bit(tiny_config, rows_of, tmp_path) -> None:
    kept = tmp_path / "kept.safetensors"
    score_in_turn(tiny_config(), rows_of, tmp_path, kept=kept)
    before = kept.read_bytes()
    score_baselines(tiny_config(), learned("1", "2"), rows_of, drawn(rows_of, "1"), tmp_path / "again", kept=kept)
    assert kept.read_bytes() == before


@pytest.mark.parametrize("harm", ["rows", "file", "champion"])
def test_kept_features_that_do_not_belong_to_the_rows_are_not_used(harm, tiny_config, rows_of, tmp_path) -> None:
    kept, experiences = tmp_path / "kept.safetensors", learned("1", "2")
    score_in_turn(tiny_config(), rows_of, tmp_path, kept=kept)
    if harm == "rows":  # some of them were forgotten
        experiences = LearnedExperiences(["1", "2"], {"1": "other", "2": "digest of 2"})
    elif harm == "file":
        kept.write_bytes(kept.read_bytes()[:500])
    else:  # rolled back
        experiences = learned("2")
    tests = drawn(rows_of, "1", "2")
    scored = score_baselines(tiny_config(), experiences, rows_of, tests, tmp_path / "b", kept=kept)
    assert scored.of == score_baselines(tiny_config(), experiences, rows_of, tests, tmp_path / "a").of


def test_of_more_rows_than_are_kept_a_sample_is_the_same_however_it_grew(tiny_config, rows_of, tmp_path, monkeypatch):
    monkeypatch.setattr(baseline_rows, "MOST_ROWS", 30)
    at_once = score_baselines(tiny_config(), learned("1", "2"), rows_of, drawn(rows_of, "1"), tmp_path / "a")
    in_turn = score_in_turn(tiny_config(), rows_of, tmp_path, kept=tmp_path / "kept.safetensors")
    assert in_turn.of["ncm"].scores[0] == at_once.of["ncm"].scores[0]
    with safe_open(tmp_path / "kept.safetensors", framework="np") as file:
        assert len(file.get_tensor("sizes")) == 30


def test_a_class_that_comes_later_is_known_to_the_baselines(tiny_config, sentences, tmp_path) -> None:
    labels = {"1": ["loan", "fee"], "2": ["account"]}

    def rows(ids: list[str], split: str) -> pd.DataFrame:
        parts = [sentences(labels[id], 20, seed=int(id), prefix=f"{id}-{split}-") for id in ids]
        return pd.concat(parts, ignore_index=True)

    scored = score_in_turn(tiny_config(), rows, tmp_path, kept=tmp_path / "kept.safetensors")
    of_new = {name: baseline.scores[1].value for name, baseline in scored.of.items()}
    assert of_new["ncm"] > 0.5 and of_new["regression"] > 0.5


def several(ids: list[str], split: str) -> pd.DataFrame:
    """Return texts with the names of their labels in them; the second experience brings a label."""
    kinds = {"1": [["loan"], ["fee"], ["loan", "fee"], ["loan"]], "2": [["box"], ["box", "loan"], [], ["loan"]]}
    rows = []
    for id in ids:
        rng = np.random.default_rng(sum(map(ord, id + split)))
        for row in range(40 if split == "train" else 16):
            labels = kinds[id][row % 4]
            words = [*rng.choice(["my", "where", "the", "please", "help"], size=4), *labels]
            rows.append({"id": f"{id}-{split}-{row}", "text": " ".join(rng.permutation(words)), "labels": labels})
    return pd.DataFrame(rows).assign(date=None)


def test_texts_with_several_labels_have_baselines_too(tiny_config, tmp_path) -> None:
    config, tests = tiny_config(task="multi_label_classification"), drawn(several, "1", "2")
    scored = score_baselines(config, learned("1", "2"), several, tests, tmp_path / "new")
    table = pd.read_parquet(scored.rows)
    assert set(scored.of) == set(BASELINES) and len(table) == 32
    # 5 of 8 rows have the label loan: it is answered everywhere, and no other label is
    (first, second) = (score.value for score in scored.of["majority"].scores)
    assert (first, second) == (pytest.approx(2 * 12 / (16 + 20)), pytest.approx(2 * 8 / (16 + 16)))
    assert scored.of["regression"].accuracy > 0.9 and scored.of["ncm"].accuracy > scored.of["majority"].accuracy


def test_no_label_is_the_majority_where_none_has_most_rows(tiny_config, tmp_path) -> None:
    def rare(ids: list[str], split: str) -> pd.DataFrame:
        rows = several(["1"], split)
        return rows.assign(labels=[[["loan"], ["fee"], ["box"]][row % 3] for row in range(len(rows))])

    config = tiny_config(task="multi_label_classification")
    scored = score_baselines(config, learned("1"), rare, {"1": rare(["1"], "test")}, tmp_path / "new")
    assert scored.of["majority"].accuracy == 0.0


def test_kept_features_of_several_labels_give_the_scores_of_reading_all_rows_again(tiny_config, tmp_path) -> None:
    config, kept = tiny_config(task="multi_label_classification"), tmp_path / "kept.safetensors"
    at_once = score_baselines(config, learned("1", "2"), several, drawn(several, "1", "2"), tmp_path / "at once")
    in_turn = score_in_turn(config, several, tmp_path, kept=kept)
    assert [in_turn.of[name] for name in ("majority", "ncm")] == [at_once.of[name] for name in ("majority", "ncm")]
    assert in_turn.of["regression"].accuracy == pytest.approx(at_once.of["regression"].accuracy, abs=0.05)
    with safe_open(kept, framework="np") as file:
        assert file.get_tensor("targets").shape == (112, 3)
