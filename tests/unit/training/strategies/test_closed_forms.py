"""Nearest class mean, streaming LDA and RanPAC: solved, order-free, and exact in both directions."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from cl import plugins
from cl.errors import ConfigError, InputError
from cl.models.closed_form_head import ClosedFormHead
from cl.models.frozen_features import frozen_features
from cl.models.inference import answer
from cl.models.persistence import load_learner, save_learner
from cl.training.strategies import load_states
from cl.training.train import train

CLOSED = ["ncm", "slda", {"name": "ranpac", "features": 64}]
LEARNED = {"ncm": ["train"], "slda": ["train"], "ranpac": ["train", "validation"]}
STREAM = {f"e{at}": [label, f"{label}x"] for at, label in enumerate("abcdefghij")}


def name_of(spec) -> str:
    return spec if isinstance(spec, str) else spec["name"]


def same_gram(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    if "gram" in one and "gram" in other:
        return torch.equal(one["gram"], other["gram"])
    return "gram" not in one and "gram" not in other


@pytest.fixture
def rows_of(sentences):
    def rows(ids: list[str], split: str) -> pd.DataFrame:
        seed = {"train": 0, "validation": 50, "test": 90}[split]
        size = 16 if split == "train" else 6
        parts = [sentences(STREAM[one], size, seed=seed, prefix=f"{one}-{split}-") for one in ids]
        return pd.concat(parts, ignore_index=True) if parts else sentences(["a"], 0)

    return rows


@pytest.fixture
def taught(tiny_config, rows_of, tmp_path):
    """Learn a stream experience by experience and return the last version's folder."""

    def run(strategy, order: list[str], place: str, at_once: bool = False, **config):
        made, champion, past = tiny_config(strategy=strategy, **config), None, []
        for step, new in enumerate([order] if at_once else [[one] for one in order]):
            folder = tmp_path / place / str(step)
            train(made, champion=champion, new=new, past=past, rows_of=rows_of, folder=folder)
            champion, past = folder, past + new
        return champion

    return run


def test_rows_of_the_past_are_counted_where_the_sums_began_anew(tiny_config, rows_of, tmp_path) -> None:
    def update(layers: int, at: int) -> int:
        made = tiny_config(strategy={"name": "ncm", "layers": layers})
        before = tmp_path / str(at - 1) if at else None
        past = [f"e{one}" for one in range(at)]
        done = train(made, champion=before, new=[f"e{at}"], past=past, rows_of=rows_of, folder=tmp_path / str(at))
        return done.rows_learnt

    assert [update(layers=1, at=0), update(layers=1, at=1), update(layers=2, at=2)] == [16, 16, 48]


def test_the_gram_matrix_is_kept_from_the_row_on_that_makes_it_the_smaller_system(taught) -> None:
    def state(place: str, ids: list[str], **settings) -> dict[str, torch.Tensor]:
        strategy = {"name": "ranpac", "features": 64, **settings}
        return load_states(taught(strategy, ids, place))["ranpac"].tensors

    two, three = ["e0", "e1"], ["e0", "e1", "e2"]
    assert "gram" not in state("few", two) and "gram" in state("few without rows", two, removable=False)
    summed_late, summed_always = state("more", three), state("more without rows", three, removable=False)
    assert torch.equal(summed_late["gram"], summed_always["gram"])


@pytest.mark.parametrize("strategy", ["ncm", {"name": "ranpac", "features": 64}], ids=name_of)
@pytest.mark.parametrize("first", [True, False])
def test_features_that_are_kept_from_now_on_or_no_longer_are_those_of_all_rows(
    strategy, first, tiny_config, rows_of, tmp_path
) -> None:
    spec = {"name": strategy} if isinstance(strategy, str) else strategy
    for step, removable in enumerate([first, not first]):
        made = tiny_config(strategy={**spec, "removable": removable})
        before, past = (tmp_path / "0", ["e0"]) if step else (None, [])
        train(made, champion=before, new=[f"e{step}"], past=past, rows_of=rows_of, folder=tmp_path / str(step))
    state = load_states(tmp_path / "1")[name_of(strategy)]
    assert (state.rows is None) == first
    assert state.rows is None or len(state.rows) == state.seen
    assert state.seen == sum(len(rows_of(["e0", "e1"], split)) for split in LEARNED[name_of(strategy)])


def by_label(folder) -> dict[str, torch.Tensor]:
    learner = load_learner(folder)
    table = torch.cat([learner.head.weight, learner.head.bias[None]])
    return {label: table[:, at] for at, label in enumerate(learner.labels)}


def distance(one, other) -> float:
    first, second = by_label(one), by_label(other)
    assert set(first) == set(second)
    size = max(float(column.detach().abs().max()) for column in first.values())
    return max(float((first[label] - second[label]).abs().max()) for label in first) / size


@pytest.mark.parametrize("strategy", CLOSED, ids=name_of)
def test_ten_experiences_give_the_solution_of_all_at_once_in_any_order(strategy, taught) -> None:
    ids = list(STREAM)
    forward, backward = taught(strategy, ids, "forward"), taught(strategy, ids[::-1], "backward")
    once = taught(strategy, ids, "once", at_once=True)
    assert distance(forward, once) < 1e-4
    assert distance(forward, backward) < 1e-4
    for other in (forward, backward):
        order = [load_learner(other).labels.index(label) for label in load_learner(once).labels]
        ours, theirs = (load_states(one)[name_of(strategy)].tensors for one in (other, once))
        assert torch.equal(ours["counts"][order], theirs["counts"])
        assert torch.equal(ours["sums"][order], theirs["sums"])
        assert same_gram(ours, theirs)


@pytest.mark.parametrize("strategy", CLOSED, ids=name_of)
def test_rows_taken_out_of_every_experience_were_never_seen(strategy, taught, rows_of, tiny_config, tmp_path) -> None:
    ids = ["e0", "e1", "e2"]
    gone = {id for split in LEARNED[name_of(strategy)] for id in rows_of(ids, split)["id"][::3]}

    def without(wanted: list[str], split: str) -> pd.DataFrame:
        rows = rows_of(wanted, split)
        return rows[~rows["id"].isin(gone)].reset_index(drop=True)

    whole = taught(strategy, ids, "whole")
    state, learner = plugins.build("strategies", strategy).forget(
        load_states(whole)[name_of(strategy)], load_learner(whole), gone, without(ids, "validation")
    )
    train(tiny_config(strategy=strategy), champion=None, new=ids, past=[], rows_of=without, folder=tmp_path / "never")
    never = load_states(tmp_path / "never")[name_of(strategy)]
    assert gone and set(state.tensors) == set(never.tensors)
    # the labels came in another order: all of them at once, not two by two
    order = [learner.labels.index(label) for label in load_learner(tmp_path / "never").labels]
    assert torch.equal(state.tensors["counts"][order], never.tensors["counts"])
    assert torch.equal(state.tensors["sums"][order], never.tensors["sums"])
    assert same_gram(state.tensors, never.tensors)
    assert sorted(state.rows["id"]) == sorted(never.rows["id"]) and state.seen == never.seen
    shown = rows_of(ids, "test")
    ours, theirs = answer(learner, shown), answer(load_learner(tmp_path / "never"), shown)
    assert ours.values == theirs.values
    np.testing.assert_allclose(*([one.confidence for one in both.predictions] for both in (ours, theirs)), rtol=1e-4)  # type: ignore[call-overload]


@pytest.mark.parametrize("strategy", CLOSED, ids=name_of)
def test_a_class_that_is_taken_out_whole_is_never_answered_again(strategy, taught, rows_of) -> None:
    whole = taught(strategy, ["e0", "e1"], "whole")
    gone = {id for split in LEARNED[name_of(strategy)] for id in rows_of(["e1"], split)["id"]}
    state = load_states(whole)[name_of(strategy)]
    kept = 8 if name_of(strategy) != "ranpac" else 11
    others = rows_of(["e0"] if name_of(strategy) == "ranpac" else ["e0", "e1"], "validation")
    for validation in (others, None):
        left, learner = plugins.build("strategies", strategy).forget(state, load_learner(whole), gone, validation)
        assert left.tensors["counts"].tolist() == [kept, kept, 0, 0]
        answers = answer(learner, rows_of(["e0", "e1"], "test"))
        assert set(answers.values) <= set(STREAM["e0"]) and not math.isnan(answers.loss)


def test_ids_that_were_never_learnt_are_named_and_nothing_is_taken_out(taught, rows_of) -> None:
    folder, known = taught("ncm", ["e0"], "x"), rows_of(["e0"], "train")["id"][0]
    with pytest.raises(InputError, match="no row was learned with id a-stranger, b-stranger; nothing was removed"):
        plugins.build("strategies", "ncm").forget(
            load_states(folder)["ncm"], load_learner(folder), {known, "b-stranger", "a-stranger"}, None
        )


def test_forgetting_needs_the_features_of_single_rows(taught) -> None:
    strategy = {"name": "ncm", "removable": False}
    folder = taught(strategy, ["e0"], "x")
    state = load_states(folder)["ncm"]
    assert state.rows is None
    with pytest.raises(ValueError, match="removable: true"):
        plugins.build("strategies", strategy).forget(state, load_learner(folder), {"a"}, None)


def test_the_ridge_solution_against_numpy(taught, rows_of) -> None:
    strategy = {"name": "ranpac", "features": 64, "ridge": [10.0]}
    learner = load_learner(taught(strategy, ["e0", "e1"], "x"))
    rows = pd.concat([rows_of(["e0", "e1"], split) for split in LEARNED["ranpac"]], ignore_index=True)
    shown = frozen_features(learner, learner.head, rows)
    inputs = learner.head.expand(shown.whole.float()).numpy().astype(float) / 25.4
    wanted = np.eye(len(learner.labels))[shown.targets.numpy()]
    weight = np.linalg.solve(inputs.T @ inputs + 10.0 * np.eye(64), inputs.T @ wanted) / 25.4
    ours = learner.head.weight.detach().numpy()
    alive = np.abs(weight) > 1e-6  # some random features are zero for every row
    ratio = ours[alive] / weight[alive]  # one temperature for all
    assert alive.mean() > 0.5 and np.allclose(ratio, np.median(ratio), rtol=1e-3)


def test_streaming_lda_decides_as_lda_does(taught, rows_of) -> None:
    folder = taught({"name": "slda", "shrinkage": [0.1], "layers": 1}, ["e0", "e1", "e2"], "x")
    learner, rows = load_learner(folder), rows_of(["e0", "e1", "e2"], "train")
    shown = frozen_features(learner, learner.head, rows)
    inputs = shown.whole.numpy().astype(float)
    peer = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1, priors=[1 / len(learner.labels)] * 6)
    peer.fit(inputs, shown.targets.numpy())
    ours = (torch.as_tensor(inputs).float() @ learner.head.weight + learner.head.bias).argmax(1).numpy()
    assert (ours == peer.predict(inputs)).mean() > 0.95


def test_nearest_class_mean_against_distances(taught, rows_of) -> None:
    learner = load_learner(taught({"name": "ncm", "layers": 2}, ["e0", "e1"], "x"))
    shown = frozen_features(learner, learner.head, rows_of(["e0", "e1"], "train"))
    inputs = shown.whole.float()
    means = torch.stack([inputs[shown.targets == at].mean(0) for at in range(4)])
    assert torch.equal(torch.cdist(inputs, means).argmin(1), learner.head(inputs).argmax(1))


def test_a_saved_closed_head_answers_the_same(taught, rows_of, tmp_path) -> None:
    learner = load_learner(taught({"name": "ranpac", "features": 64}, ["e0"], "x"))
    described = json.loads((tmp_path / "x" / "0" / "learner.json").read_text())
    assert described["head"]["closed"] and described["head"]["expansion"] == 64
    save_learner(learner, tmp_path)
    rows = rows_of(["e0"], "test")
    assert answer(load_learner(tmp_path), rows).predictions == answer(learner, rows).predictions


def test_the_encoder_adapts_to_the_first_experience_only(taught) -> None:
    strategy = {"name": "ncm", "adapt": "first"}
    first, third = taught(strategy, ["e0"], "one"), taught(strategy, ["e0", "e1", "e2"], "three")
    frozen = taught("ncm", ["e0"], "frozen")
    weights = [load_learner(one).encoder.state_dict() for one in (first, third, frozen)]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert any(not torch.equal(weights[0][key], weights[2][key]) for key in weights[0])


def test_where_asked_the_encoder_adapts_to_all_rows_in_every_update(taught, rows_of) -> None:
    strategy = {"name": "ranpac", "features": 64, "adapt": "always"}
    training = {"epochs": 20, "batch_size": 8, "learning_rate": 1e-3, "patience": 20}
    first, third = (taught(strategy, [f"e{n}" for n in range(many)], f"a{many}", training=training) for many in (1, 3))
    frozen = taught({"name": "ranpac", "features": 64}, ["e0", "e1", "e2"], "frozen")
    weights = [load_learner(folder).encoder.state_dict() for folder in (first, third)]
    assert any(not torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    state = load_states(third)["ranpac"]
    assert state.tensors["adapted"] == 1 and load_states(frozen)["ranpac"].tensors["adapted"] == 0
    assert state.seen == 66, "the sums are over all rows, as the adapted encoder reads them"
    shown = rows_of(["e0", "e1", "e2"], "test")
    score = [
        float(np.mean(np.array(answer(load_learner(one), shown).values) == shown["label"])) for one in (third, frozen)
    ]
    assert score[0] >= score[1]


def test_a_trained_champion_goes_on_in_closed_form_and_knows_the_past(taught, tiny_config, rows_of, tmp_path) -> None:
    champion = taught("naive", ["e0", "e1"], "trained")
    config = tiny_config(strategy={"name": "ranpac", "features": 64})
    train(config, champion=champion, new=["e2"], past=["e0", "e1"], rows_of=rows_of, folder=tmp_path / "closed")
    state = load_states(tmp_path / "closed")["ranpac"]
    assert state.tensors["counts"].tolist() == [11] * 6
    assert len(state.rows) == 66


def test_a_closed_champion_is_trained_on_from_a_linear_head_in_place_of_the_solved_one(
    taught, tiny_config, rows_of, tmp_path
) -> None:
    champion = taught("ncm", ["e0"], "closed")
    for name, strategy in (("go-on", "replay"), ("afresh", {"name": "joint", "restart": True})):
        config = tiny_config(
            strategy=strategy, training={"epochs": 25, "learning_rate": 1e-3, "head_learning_rate": 1e-2}
        )
        train(config, champion=champion, new=["e1"], past=["e0"], rows_of=rows_of, folder=tmp_path / name)
        learner = load_learner(tmp_path / name)
        assert not learner.is_closed
        rows = rows_of(["e0", "e1"], "train")
        right = [one == other for one, other in zip(answer(learner, rows).values, rows["label"], strict=True)]
        assert min(sum(right[:16]), sum(right[16:])) >= 10, "of 16 rows with four labels to choose from"


def test_tags_are_trained_on_after_a_solved_head_as_well(tiny_config, tmp_path) -> None:
    rows = pd.DataFrame(
        [{"tokens": ["anna", "lives", "in", "paris"], "tags": ["B-per", "O", "O", "B-loc"], "date": None, "id": "1"}]
    )
    for at, strategy in enumerate(("ncm", ["replay", "ewc"])):
        config = tiny_config(task="token_classification", strategy=strategy)
        train(
            config, champion=tmp_path / "0" if at else None, new=[str(at)], past=["0"] * at,
            rows_of=lambda ids, split: pd.concat([rows[:0], *(rows.assign(id=one) for one in ids)]),
            folder=tmp_path / str(at),
        )  # fmt: skip
    assert answer(load_learner(tmp_path / "1"), rows).values[0] == rows["tags"][0]
    assert len(load_states(tmp_path / "1")["replay"].rows) == 2


def test_tokens_are_classified_in_closed_form_too(tiny_config, tmp_path) -> None:
    sentence = {"tokens": ["anna", "lives", "in", "paris"], "tags": ["B-per", "O", "O", "B-loc"], "date": None}
    other = {"tokens": ["ben", "works", "at", "york"], "tags": ["B-per", "O", "O", "B-loc"], "date": None}
    rows = pd.DataFrame([{**(sentence if at % 2 else other), "id": str(at)} for at in range(12)])
    rows_if = lambda ids, split: rows.iloc[: len(rows) if ids and split == "train" else 0]  # noqa: E731
    config = tiny_config(task="token_classification", strategy={"name": "ranpac", "features": 64})
    train(config, champion=None, new=["a"], past=[], rows_of=rows_if, folder=tmp_path / "v")
    learner = load_learner(tmp_path / "v")
    assert answer(learner, rows).values[0] == rows["tags"][0]
    assert load_states(tmp_path / "v")["ranpac"].tensors["counts"].sum() == 48


@pytest.mark.parametrize("adapt", ["never", "first"])
@pytest.mark.parametrize("other", ["replay", "averaging", "si", "gdumb", {"name": "joint", "restart": True}, "slda"])
def test_a_strategy_beside_a_closed_form_is_refused(adapt, other, tiny_config) -> None:
    for strategies in ([other, {"name": "ncm", "adapt": adapt}], [{"name": "ncm", "adapt": adapt}, other]):
        with pytest.raises(ConfigError, match="would have no effect; use it alone"):
            tiny_config(strategy=strategies)


def test_a_tuning_that_has_nothing_to_adapt_or_to_read_with_is_refused(tiny_config, tiny_model) -> None:
    def tuned(tuning: str, adapt: str):
        return tiny_config(strategy={"name": "ncm", "adapt": adapt}, model={"name": str(tiny_model), "tuning": tuning})

    with pytest.raises(ConfigError, match=r"nothing to adapt with model\.tuning: head"):
        tuned("head", "first")
    for tuning in ("prompt", "prefix"):
        with pytest.raises(ConfigError, match=f"that model.tuning: {tuning} adds.*set adapt: first"):
            tuned(tuning, "never")
        assert tuned(tuning, "first")
    assert tuned("head", "never") and tuned("lora", "never")


@pytest.mark.parametrize("strategy", CLOSED[:2], ids=name_of)
def test_a_validation_row_of_a_class_without_training_rows_changes_no_answer(
    strategy, tiny_config, rows_of, sentences, tmp_path
) -> None:
    stranger = sentences(["zz"], 1, prefix="stranger-")

    def learnt(place: str, more: pd.DataFrame):
        def rows(ids: list[str], split: str) -> pd.DataFrame:
            found = rows_of(ids, split)
            return pd.concat([found, more], ignore_index=True) if split == "validation" else found

        folder = tmp_path / place
        train(tiny_config(strategy=strategy), champion=None, new=["e0", "e1"], past=[], rows_of=rows, folder=folder)
        return load_learner(folder)

    without, with_one = learnt("without", stranger.iloc[:0]), learnt("with", stranger)
    assert "zz" in with_one.labels
    shown = rows_of(["e0", "e1"], "test")
    ours, theirs = answer(with_one, shown), answer(without, shown)
    assert ours.values == theirs.values
    np.testing.assert_allclose(*([one.confidence for one in both.predictions] for both in (ours, theirs)), rtol=1e-3)  # type: ignore[call-overload]


def test_validation_rows_are_learned_and_scored_as_if_they_had_not_been(taught, tiny_config, rows_of, tmp_path) -> None:
    """The score is that of 12 solutions, each without one validation row, whose labels say nothing about the texts."""
    strategy, ids = {"name": "ranpac", "features": 64, "ridge": [10.0]}, ["e0", "e1"]

    def shuffled(wanted: list[str], split: str) -> pd.DataFrame:
        rows = rows_of(wanted, split)
        return rows.assign(label=rows["label"].to_numpy()[np.random.default_rng(3).permutation(len(rows))])

    done = train(
        tiny_config(strategy=strategy), champion=None, new=ids, past=[], rows_of=shuffled, folder=tmp_path / "v"
    )
    state, learner, rows = (
        load_states(tmp_path / "v")["ranpac"],
        load_learner(tmp_path / "v"),
        shuffled(ids, "validation"),
    )
    assert set(rows["id"]) <= set(state.rows["id"])
    solver, right = plugins.build("strategies", strategy), []
    for at, row in enumerate(rows["id"]):
        _, without = solver.forget(state, learner, {row}, None)
        right.append(answer(without, rows.iloc[[at]]).values[0] == rows["label"][at])
    assert done.validation_score == pytest.approx(np.mean(right))
    assert done.validation_score < (pd.Series(answer(learner, rows).values) == rows["label"]).mean()


def test_left_out_logits_are_those_without_the_row_over_rows_and_over_features(taught, rows_of) -> None:
    for features in (16, 400):
        strategy = {"name": "ranpac", "features": features, "ridge": [10.0]}
        folder = taught(strategy, ["e0", "e1"], f"with-{features}")
        state, learner = load_states(folder)["ranpac"], load_learner(folder)
        solver, rows = plugins.build("strategies", strategy), rows_of(["e0", "e1"], "validation").iloc[:3]
        temperature = state.tensors["temperature"]
        for at, logits in enumerate(solver.left_out(learner, state)(rows)):
            after, without = solver.forget(state, learner, {rows["id"].iloc[at]}, None)
            expected = answered(without, rows.iloc[[at]]) * after.tensors["temperature"]
            torch.testing.assert_close(logits[0].double() * temperature, expected, atol=1e-3, rtol=1e-3)


def test_leverages_are_kept_with_validation_rows_and_computed_for_others(taught, rows_of) -> None:
    """A row that a version without them has kept, or a training row, is answered the same way."""
    for features in (16, 400):
        strategy = {"name": "ranpac", "features": features, "ridge": [10.0]}
        folder = taught(strategy, ["e0", "e1"], f"kept-{features}")
        state, learner = load_states(folder)["ranpac"], load_learner(folder)
        assert state.rows is not None
        held_out = rows_of(["e0", "e1"], "validation")
        with_leverages = state.rows.loc[state.rows["leverages"].map(len) > 0, "id"]
        assert set(with_leverages) == set(state.rows.loc[state.rows["held_out"], "id"]) == set(held_out["id"])
        solver, rows = plugins.build("strategies", strategy), pd.concat([held_out, rows_of(["e0"], "train")])
        without = replace(state, rows=state.rows.drop(columns="leverages"))
        kept, computed = (torch.cat(solver.left_out(learner, own)(rows)) for own in (state, without))
        torch.testing.assert_close(kept, computed)


def test_ridge_and_temperature_stay_until_the_rows_have_grown_by_a_tenth(
    taught, tiny_config, rows_of, tmp_path
) -> None:
    """After 220 rows, ten more are too few to choose again; the equations and the leverages are those of all rows."""
    strategy = {"name": "ranpac", "features": 64}

    def rows(ids: list[str], split: str) -> pd.DataFrame:
        if ids != ["e10"]:
            return pd.concat(
                [rows_of([id for id in ids if id != "e10"], split), *([rows(["e10"], split)] * ("e10" in ids))]
            )
        return rows_of(["e0"], split).iloc[:5].assign(id=lambda part: "more-" + part["id"])

    ids = list(STREAM)
    champion = taught(strategy, ids, "all", at_once=True)
    before = load_states(champion)["ranpac"]
    folder = tmp_path / "kept"
    train(tiny_config(strategy=strategy), champion=champion, new=["e10"], past=ids, rows_of=rows, folder=folder)
    train(
        tiny_config(strategy=strategy),
        champion=None,
        new=[*ids, "e10"],
        past=[],
        rows_of=rows,
        folder=tmp_path / "chosen_again",
    )
    kept, chosen_again = (load_states(at)["ranpac"] for at in (folder, tmp_path / "chosen_again"))
    assert kept.tensors["choice"].tolist() == before.tensors["choice"].tolist() == [220, 10, 100, 1_000, 10_000]
    assert chosen_again.tensors["choice"][0] == 230
    assert kept.tensors["temperature"] == before.tensors["temperature"] != chosen_again.tensors["temperature"]
    assert kept.tensors["ridge"] == chosen_again.tensors["ridge"]
    scale = chosen_again.tensors["temperature"] / kept.tensors["temperature"]
    weights = [load_learner(at).head.weight for at in (folder, tmp_path / "chosen_again")]
    torch.testing.assert_close(weights[0] / scale, weights[1], rtol=1e-4, atol=1e-7)
    leverages = [state.rows.set_index("id")["leverages"].map(list).to_dict() for state in (kept, chosen_again)]
    assert {id for id, own in leverages[0].items() if own} == {id for id, own in leverages[1].items() if own}
    for id, own in leverages[0].items():
        assert own == pytest.approx(leverages[1][id], abs=1e-6)
    solver = plugins.build("strategies", strategy)
    left, _ = solver.forget(kept, load_learner(folder), set(rows(["e10"], "train")["id"]), None)
    assert left.tensors["choice"][0] == 225, "rows that are forgotten have no part in the choice"


def test_kept_leverages_spare_the_equations(taught, rows_of, monkeypatch) -> None:
    strategy = {"name": "ranpac", "features": 400, "ridge": [10.0]}
    folder = taught(strategy, ["e0", "e1"], "kept")
    state, learner = load_states(folder)["ranpac"], load_learner(folder)
    monkeypatch.setattr("cl.training.strategies._ridge.RowForm", None)
    solver = plugins.build("strategies", strategy)
    solver.left_out(learner, state)(rows_of(["e0", "e1"], "validation"))
    with pytest.raises(TypeError):
        solver.left_out(learner, state)(rows_of(["e0"], "train"))


def answered(learner, rows: pd.DataFrame) -> torch.Tensor:
    """The logits of one row."""
    features = frozen_features(learner, learner.head, rows)
    return learner.head(features.whole.float())[0].detach().double()


@pytest.mark.parametrize(
    ("strategy", "says"),
    [
        ({"name": "ranpac", "ridge": [0]}, r"ridge\.0 must be more than 0"),
        ({"name": "ranpac", "ridge": [1, -5]}, r"ridge\.1 must be more than 0"),
        ({"name": "ranpac", "ridge": [math.inf]}, "finite"),
        ({"name": "slda", "shrinkage": [0]}, r"shrinkage\.0 must be more than 0"),
        ({"name": "slda", "shrinkage": [3]}, r"shrinkage\.0 must be at most 1"),
    ],
)
def test_values_without_a_solution_are_refused(strategy, says, tiny_config) -> None:
    with pytest.raises(ConfigError, match=says):
        tiny_config(strategy=strategy)


@pytest.mark.parametrize(
    "strategy",
    [
        {"name": "ranpac", "features": 64, "ridge": [1e-300], "removable": False},
        {"name": "slda", "shrinkage": [1e-300]},
    ],
    ids=name_of,
)
def test_equations_that_have_no_solution_say_what_to_change(strategy, taught) -> None:
    with pytest.raises(ConfigError, match=rf"{strategy['name']}: .* no solution .* larger values of"):
        taught(strategy, ["e0"], "x")


def test_a_covariance_that_is_all_identity_is_allowed(taught, rows_of) -> None:
    learner = load_learner(taught({"name": "slda", "shrinkage": [1.0]}, ["e0"], "x"))
    assert set(answer(learner, rows_of(["e0"], "test")).values) <= set(STREAM["e0"])


def test_an_expansion_follows_from_its_seed() -> None:
    first, again, other = (ClosedFormHead(8, 1, expansion=32, seed=seed).projection for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
