"""Closed forms where a row may have any number of labels: one ridge regression a label, exact in both directions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from cl import plugins
from cl.config import Config
from cl.models.closed_form_head import ClosedFormHead
from cl.models.frozen_features import frozen_features
from cl.models.inference import answer, row_logits
from cl.models.logistic_regression import fit_logistic
from cl.models.persistence import load_learner
from cl.models.temperature import fit_temperature
from cl.records import BASELINES, WEIGHT
from cl.stores.data.experiences import RowsOf
from cl.tasks.multi_label_classification import MultiLabelClassification
from cl.training.baseline_rows import LearnedExperiences
from cl.training.baselines import score_baselines
from cl.training.gain import estimate_gain
from cl.training.left_out import left_out_answers
from cl.training.strategies import load_states
from cl.training.strategies._kept_rows import read_targets, stored_targets
from cl.training.strategies._ridge import FeatureForm, RowForm, left_out
from cl.training.strategies._sufficient_statistics import SufficientStatistics, indicators
from cl.training.train import train
from cl.training.unlearn_learner import unlearn_learner
from tests.support.task_rows import made_rows

TASK = MultiLabelClassification()
LABELS = {"one": ["loan", "fee"], "two": ["box", "loan"], "three": ["lamp", "shoe", "fee"]}
RANPAC = {"name": "ranpac", "features": 64, "ridge": [10.0]}


def rows_of(ids: list[str], split: str) -> pd.DataFrame:
    size = 30 if split == "train" else 15
    parts = [made_rows(TASK, LABELS[id], size, seed=len(split), prefix=f"{id}-{split}-") for id in ids]
    return pd.concat(parts, ignore_index=True) if parts else made_rows(TASK, ["loan"], 0)


def drawn(rows: int, features: int = 12, classes: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    whole = torch.randint(-127, 128, (rows, features), generator=generator).float()
    return whole, (torch.rand(rows, classes, generator=generator) < 0.3).to(torch.int8)


def same(one: SufficientStatistics, other: SufficientStatistics) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("counts", "sums", "products", "seen"))


@pytest.fixture
def taught(tiny_config, tmp_path):
    """Learn experiences one after the other, or at once; returns the last version's folder."""

    def run(strategy, steps: list[list[str]], place: str, rows: RowsOf = rows_of):
        config, champion, past = tiny_config(task=TASK.name, strategy=strategy), None, list[str]()
        for step, new in enumerate(steps):
            folder = tmp_path / place / str(step)
            train(config, champion=champion, new=new, past=past, rows_of=rows, folder=folder)
            champion, past = folder, [*past, *new]
        return champion

    return run


def test_sums_are_exact_in_any_order_and_rows_taken_out_leave_no_trace() -> None:
    whole, targets = drawn(5_000)
    empty = SufficientStatistics.empty(12, 4, several=True)
    at_once = empty.add(whole, targets)
    assert torch.equal(at_once.sums.double(), targets.double().T @ whole.double())
    assert torch.equal(at_once.products, whole.double().T @ whole.double())
    assert at_once.counts.tolist() == targets.sum(0, dtype=torch.int64).tolist() and at_once.rows == 5_000
    little_by_little = empty
    for part in torch.randperm(5_000, generator=torch.Generator().manual_seed(1)).split(700):
        little_by_little = little_by_little.add(whole[part], targets[part])
    assert same(at_once, little_by_little)
    less = at_once.add(whole[3_000:], targets[3_000:], sign=-1)
    assert same(less, empty.add(whole[:3_000], targets[:3_000]))
    assert same(SufficientStatistics.from_tensors(at_once.to_tensors()), at_once)
    assert same(at_once.without_rows(gram=True), empty)


def test_weights_count_rows_as_often_as_they_say() -> None:
    whole, targets = drawn(60)
    weights = torch.arange(60) % 4
    weighted = SufficientStatistics.empty(12, 4, several=True).add(whole, targets, weights.double())
    repeated = SufficientStatistics.empty(12, 4, several=True).add(
        whole.repeat_interleave(weights, 0), targets.repeat_interleave(weights, 0)
    )
    assert weighted.rows == repeated.rows and torch.equal(weighted.counts, repeated.counts.double())
    assert torch.equal(weighted.sums, repeated.sums.double()) and torch.equal(weighted.products, repeated.products)


def test_targets_are_kept_as_the_labels_that_apply_whatever_labels_come_later() -> None:
    targets = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0]], dtype=torch.int8)
    kept = stored_targets(targets)
    assert kept == [[0, 2], [], [1]]
    assert torch.equal(indicators(read_targets(kept), 5), torch.nn.functional.pad(targets.double(), (0, 2)))
    assert read_targets([[], []]).shape == (2, 0)


def test_both_forms_have_one_solution_and_the_left_out_scores_of_a_regression_without_the_row() -> None:
    whole, targets = drawn(15, 8, 3)
    form = RowForm(whole, targets, 3, 25.4)
    sums = SufficientStatistics.empty(8, 3, several=True).add(whole, targets)
    by_feature = FeatureForm(sums, 25.4)
    first, second = by_feature.solve(10.0), form.solve(10.0)
    torch.testing.assert_close(first.weight, second.weight)
    assert by_feature.cross_validate(first) == pytest.approx(form.cross_validate(second), rel=1e-6)
    wanted, scaled = targets.double(), whole.double() / 25.4
    hat = scaled @ torch.linalg.inv(scaled.T @ scaled + 10.0 * torch.eye(8, dtype=torch.float64)) @ scaled.T
    residual, free = (wanted - hat @ wanted).square().sum() / 15, (15 - hat.trace()) / 15
    assert by_feature.cross_validate(first) == pytest.approx(float(residual / free**2), rel=1e-9)
    scores = left_out(whole.double() @ second.weight, form.leverage(10.0)(whole), targets)
    for row in range(15):
        others = [other for other in range(15) if other != row]
        without = RowForm(whole[others], targets[others], 3, 25.4).solve(10.0)
        torch.testing.assert_close(scores[row], whole[row].double() @ without.weight)


def test_the_temperature_maximises_the_likelihood_of_each_label() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(4_000, 3, generator=generator)
    targets = (torch.rand(4_000, 3, generator=generator) < logits.sigmoid()).to(torch.int8)
    assert fit_temperature(logits * 5, targets) == pytest.approx(5, rel=0.1)
    never = torch.cat([logits * 5, torch.full((4_000, 1), -torch.inf)], dim=1)
    assert fit_temperature(never, targets) == fit_temperature(logits * 5, targets)


def test_logistic_regression_is_one_for_each_label() -> None:
    whole, targets = drawn(80, 6, 3)
    weight, bias = fit_logistic(whole, targets, 3, decay=0.1)
    for label in range(3):
        own, shift = fit_logistic(whole, targets[:, label : label + 1], 1, decay=0.1)
        torch.testing.assert_close(weight[:, label], own[:, 0], atol=1e-4, rtol=1e-2)
        torch.testing.assert_close(bias[label], shift[0], atol=1e-3, rtol=1e-2)


def test_the_solution_against_numpy_and_its_probabilities(taught) -> None:
    folder = taught(RANPAC, [["one", "two"]], "x")
    learner, state = load_learner(folder), load_states(folder)["ranpac"]
    assert isinstance(learner.head, ClosedFormHead)
    rows = pd.concat([rows_of(["one", "two"], split) for split in ("train", "validation")], ignore_index=True)
    shown = frozen_features(learner, learner.head, rows)
    inputs = learner.head.expand(shown.whole.float()).numpy().astype(float) / 25.4
    weight = np.linalg.solve(inputs.T @ inputs + 10.0 * np.eye(64), inputs.T @ shown.targets.numpy().astype(float))
    expected = (inputs @ weight - 0.5) / float(state.tensors["temperature"])
    np.testing.assert_allclose(torch.cat(row_logits_of(learner, rows)).detach().numpy(), expected, atol=1e-3)


def row_logits_of(learner, rows: pd.DataFrame) -> list[torch.Tensor]:
    return [learner.head(own.float()[None]) for own in frozen_features(learner, learner.head, rows).whole]


@pytest.mark.parametrize("features", [16, 400], ids=["over features", "over rows"])
def test_experiences_in_any_order_give_the_solution_of_all_at_once(features, taught) -> None:
    strategy = {**RANPAC, "features": features}
    once = taught(strategy, [["one", "two", "three"]], "once")
    for place, steps in (("forward", ["one", "two", "three"]), ("backward", ["three", "two", "one"])):
        folder = taught(strategy, [[id] for id in steps], place)
        ours, theirs = (load_states(at)["ranpac"].tensors for at in (folder, once))
        order = [load_learner(folder).labels.index(label) for label in load_learner(once).labels]
        assert torch.equal(ours["counts"][order], theirs["counts"]) and torch.equal(ours["seen"], theirs["seen"])
        assert torch.equal(ours["sums"][order], theirs["sums"])
        rows = rows_of(["one", "two", "three"], "test")
        one, other = (answer(load_learner(at), rows) for at in (folder, once))
        assert one.values == other.values


def test_what_is_forgotten_was_never_learned_thresholds_included(taught, tiny_config) -> None:
    ids = ["one", "two", "three"]
    gone = {id for split in ("train", "validation") for id in rows_of(ids, split)["id"][::4]}

    def without(wanted: list[str], split: str) -> pd.DataFrame:
        rows = rows_of(wanted, split)
        return rows[~rows["id"].isin(gone)].reset_index(drop=True)

    whole, never = taught(RANPAC, [ids], "whole"), taught(RANPAC, [ids], "never", without)
    config = tiny_config(task=TASK.name, strategy=RANPAC)
    left = unlearn_learner(
        config, whole, gone, past=lambda split: without(ids, split), validation=without(ids, "validation")
    )
    assert left.exact
    ours, theirs = left.states["ranpac"].tensors, load_states(never)["ranpac"].tensors
    assert all(torch.equal(ours[name], theirs[name]) for name in ("counts", "sums", "seen"))
    expected, rows = load_learner(never), rows_of(ids, "test")
    assert left.learner.thresholds == pytest.approx(expected.thresholds, rel=1e-4)
    assert answer(left.learner, rows).values == answer(expected, rows).values


@pytest.mark.parametrize("features", [16, 400], ids=["over features", "over rows"])
def test_left_out_answers_are_those_of_a_version_without_the_row(features, taught) -> None:
    strategy = {**RANPAC, "features": features}
    folder = taught(strategy, [["one", "two"]], "with")
    state, learner = load_states(folder)["ranpac"], load_learner(folder)
    solver, rows = plugins.build("strategies", strategy), rows_of(["one", "two"], "validation").iloc[:4]
    scores = solver.left_out(learner, state)(rows)
    for index, id in enumerate(rows["id"]):
        after, without = solver.forget(state, load_learner(folder), {id}, None)
        (expected,) = row_logits_of(without, rows.iloc[[index]])
        factor = float(after.tensors["temperature"]) / float(state.tensors["temperature"])
        torch.testing.assert_close(scores[index], expected * factor, atol=2e-3, rtol=2e-3)
    logits = left_out_answers(folder, learner)("one", rows)
    assert answer(learner, rows, logits=logits).loss > answer(learner, rows).loss


def test_a_weighted_row_counts_as_often_as_its_weight_says(taught) -> None:
    def weighed(ids: list[str], split: str) -> pd.DataFrame:
        rows = rows_of(ids, split)
        return rows.assign(**{WEIGHT: np.where(np.arange(len(rows)) % 3 == 0, 2.0, 1.0)}) if split == "train" else rows

    def repeated(ids: list[str], split: str) -> pd.DataFrame:
        rows = rows_of(ids, split)
        again = rows.iloc[::3].assign(id=lambda part: part["id"] + "-again")
        return pd.concat([rows, again], ignore_index=True) if split == "train" else rows

    one, other = (taught(RANPAC, [["one"]], name, rows) for name, rows in (("a", weighed), ("b", repeated)))
    torch.testing.assert_close(load_learner(one).head.weight, load_learner(other).head.weight, rtol=1e-3, atol=1e-6)


def test_a_closed_form_s_champion_is_trained_on_from_a_fitted_head(taught, tiny_config, tmp_path) -> None:
    champion = taught(RANPAC, [["one"]], "closed")
    config = tiny_config(task=TASK.name, strategy="replay")
    train(config, champion=champion, new=["two"], past=["one"], rows_of=rows_of, folder=tmp_path / "trained")
    learner, rows = load_learner(tmp_path / "trained"), rows_of(["one", "two"], "test")
    assert not learner.is_closed and learner.thresholds is not None
    assert torch.cat(row_logits(learner, rows)).isfinite().all()


def test_baselines_are_measured_and_the_gate_that_asks_for_them_is_a_default(tiny_config, tmp_path) -> None:
    tests = {id: rows_of([id], "test") for id in ("one", "two")}
    learned = LearnedExperiences(["one", "two"], {"one": "1", "two": "2"})
    config = tiny_config(task=TASK.name)
    assert set(score_baselines(config, learned, rows_of, tests, tmp_path / "new").of) == set(BASELINES)
    assert "baseline" in [gate["name"] for gate in Config(task=TASK.name).gates]


def test_new_rows_of_a_new_label_promise_a_gain_and_known_ones_none(taught, tiny_config) -> None:
    champion = taught(RANPAC, [["one"]], "champion")
    config = tiny_config(task=TASK.name)

    def again(ids: list[str], split: str) -> pd.DataFrame:
        rows = rows_of(["one" if id == "same" else id for id in ids], split)
        return rows.assign(id=rows["id"] + "-again") if ids == ["same"] else rows

    new, known = (estimate_gain(config, champion, ["one"], [id], again) for id in ("three", "same"))
    assert new.expected > 0.1 and new.expected > known.expected
