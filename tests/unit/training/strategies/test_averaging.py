from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
import torch

from cl.models.build import grow_labels
from cl.models.inference import score_rows
from cl.models.persistence import load_learner
from cl.training.strategies import Update
from cl.training.strategies.averaging import Averaging
from cl.training.train import train
from tests.support.task_rows import config_of, rows_of, task_of


@pytest.fixture
def pair(learner, update_of, sentences):
    """An update whose champion knows two labels and whose challenger knows three."""
    wider = grow_labels(learner, ["box"], seed=2)
    plain = update_of(wider, sentences(["loan", "fee", "box"], 12))
    return Update(plain.state, replace(plain.lesson, known=2), wider)


def copies(learner) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in learner.parameters()}


def test_the_point_that_scores_best_is_left(pair, monkeypatch) -> None:
    """The score is told from the weights: the third of five points is the best."""
    champion, tried = copies(pair.learner), []
    name = "head.blocks.0.bias"
    Averaging().begin(pair)
    with torch.no_grad():
        for _, parameter in pair.learner.parameters():
            parameter += 4.0
    challenger = copies(pair.learner)

    def scores(learner, rows):
        way = float((dict(learner.parameters())[name].detach() - champion[name]).mean())
        tried.append(way)
        return -abs(way - 1.9), 1.0

    monkeypatch.setattr("cl.models.inference.score_rows", scores)
    Averaging(steps=4).end(pair)
    assert tried == pytest.approx([4, 3, 2, 1, 0])
    for key, parameter in pair.learner.parameters():
        young = key.startswith("head.blocks.1.")
        torch.testing.assert_close(parameter.detach(), challenger[key] if young else champion[key] + 2.0)


@pytest.mark.parametrize(("losses", "left"), [([1, 1, 1], 1.0), ([1, 0.5, 1], 0.5), ([1, 0.5, 0.4], 0.0)])
def test_a_draw_goes_by_the_loss_and_then_to_the_challenger_to_the_bit(pair, monkeypatch, losses, left) -> None:
    champion = copies(pair.learner)
    Averaging().begin(pair)
    with torch.no_grad():
        for _, parameter in pair.learner.parameters():
            parameter += torch.randn_like(parameter)
    challenger, coming = copies(pair.learner), iter(losses)
    monkeypatch.setattr("cl.models.inference.score_rows", lambda learner, rows: (0.7, next(coming)))
    Averaging(steps=2).end(pair)
    for key, parameter in pair.learner.parameters():
        one = challenger[key] if key.startswith("head.blocks.1.") else champion[key]
        expected = {0.0: one, 0.5: (one + challenger[key]) / 2, 1.0: challenger[key]}[left]
        if left == 0.5:
            torch.testing.assert_close(parameter.detach(), expected)
        else:
            assert torch.equal(parameter, expected)


def test_a_first_experience_and_one_without_validation_stay_as_they_are(learner, update_of, sentences, pair) -> None:
    first = update_of(learner, sentences(["loan"], 4))
    blind = Update(pair.state, replace(pair.lesson, validation=None), pair.learner)
    for update in (first, blind):
        Averaging().begin(update)
        with torch.no_grad():
            next(update.learner.parameters())[1].add_(1.0)
        before = copies(update.learner)
        Averaging().end(update)
        assert all(torch.equal(before[name], p) for name, p in update.learner.parameters())
    assert not first.scratch and blind.scratch


def test_with_replay_it_never_validates_worse_than_replay_alone(tiny_config, sentences, tmp_path) -> None:
    parts, found = {"one": ["loan", "fee"], "two": ["box"]}, {}

    def rows_of(ids, split):
        seed = 0 if split == "train" else 1
        return pd.concat([sentences(parts[one], 24, seed=seed, prefix=one) for one in ids], ignore_index=True)

    for strategy in (["replay"], ["replay", "averaging"]):
        folder = tmp_path / str(len(strategy))
        folder.mkdir()
        common = {"rows_of": rows_of}
        config = tiny_config(strategy=strategy)
        train(config, champion=None, new=["one"], past=[], folder=folder / "1", **common)
        result = train(config, champion=folder / "1", new=["two"], past=["one"], folder=folder / "2", **common)
        found[len(strategy)] = score_rows(load_learner(folder / "2"), rows_of(["one", "two"], "validation"))
        assert result.validation_score == pytest.approx(found[len(strategy)][0])
    assert (found[2][0], -found[2][1]) >= (found[1][0], -found[1][1])


def test_running_weights_are_averaged_with_the_champions_after_each_so_many_steps(pair) -> None:
    """A step adds 4: after two steps 8 are left of the champion, and a quarter of that after averaging."""
    champion, strategy, ways = copies(pair.learner), Averaging(every=2, weight=0.75), []
    name = "head.blocks.0.bias"
    strategy.begin(pair)
    for _ in range(5):
        with torch.no_grad():
            for _, parameter in pair.learner.parameters():
                parameter += 4.0
        strategy.stepped(pair)
        ways.append(float((dict(pair.learner.parameters())[name].detach() - champion[name]).mean()))
    assert ways == pytest.approx([4, 2, 6, 2.5, 6.5], abs=1e-5)
    young = next(parameter for key, parameter in pair.learner.parameters() if key == "head.blocks.1.bias")
    torch.testing.assert_close(young.detach(), champion["head.blocks.1.bias"] + 20.0)


def test_a_first_model_has_nothing_to_average_with(pair) -> None:
    first = replace(pair, lesson=replace(pair.lesson, known=0), scratch={})
    strategy, before = Averaging(every=1), copies(pair.learner)
    strategy.begin(first)
    strategy.stepped(first)
    assert not first.scratch
    assert all(torch.equal(parameter, before[name]) for name, parameter in pair.learner.parameters())


def test_a_language_model_that_is_averaged_often_ends_nearer_its_champion(tiny_model, tmp_path) -> None:
    rows, ways = rows_of(task_of("text_generation")), []
    for strategy in ("naive", {"name": "averaging", "every": 1, "weight": 0.9, "steps": 1}):
        training = {"epochs": 4, "patience": 4, "batch_size": 4, "precision": "float32", "learning_rate": 1e-2}
        config = config_of(tiny_model, "text_generation", strategy=strategy, training=training)
        folder = tmp_path / str(len(ways))
        train(config, champion=None, new=["one"], past=[], rows_of=rows, folder=folder / "1")
        train(config, champion=folder / "1", new=["two"], past=["one"], rows_of=rows, folder=folder / "2")
        before, after = (dict(load_learner(folder / name).parameters()) for name in ("1", "2"))
        ways.append(sum(float((after[name] - old).square().sum()) for name, old in before.items()))
    assert ways[1] < ways[0] / 4
