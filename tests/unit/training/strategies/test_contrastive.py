from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest
import torch

from cl.config import parse
from cl.errors import ConfigError
from cl.models.batching import collate
from cl.models.inference import answer
from cl.models.persistence import load_learner
from cl.training.forward import take_forward_pass
from cl.training.strategies.contrastive import Contrastive, contrastive_loss
from cl.training.train import train


def test_by_hand() -> None:
    """Two rows of a class at a right angle, one of another class opposite to the first, one alone in its class."""
    features = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [0.0, -5.0]])
    targets = torch.tensor([0, 0, 1, 2])
    e = math.e
    # the first sees cosines 0, -1, 0; the second 0, 0, -1; divided by 1/2 these are 0, -2, 0 and 0, 0, -2
    share = 1 / (1 + e**-2 + 1)
    assert float(contrastive_loss(features, targets, 0.5)) == pytest.approx(-math.log(share))


def test_several_of_a_class_count_in_their_mean_and_rows_by_their_weight() -> None:
    angles = torch.tensor([0.0, 0.3, 1.0, 2.0, 2.5])
    features, targets = torch.stack([angles.cos(), angles.sin()], dim=1), [0, 0, 0, 1, 1]
    weights, terms = [1.0, 2.0, 0.5, 1.0, 3.0], []
    for i in range(5):
        shares = {a: math.exp(math.cos(angles[i] - angles[a]) / 0.2) for a in range(5) if a != i}
        alike = [a for a in shares if targets[a] == targets[i]]
        terms.append(-sum(math.log(shares[p] / sum(shares.values())) for p in alike) / len(alike))
    given = torch.tensor(targets)
    assert float(contrastive_loss(features, given, 0.2)) == pytest.approx(sum(terms) / 5, rel=1e-5)
    weighed = sum(weight * term for weight, term in zip(weights, terms, strict=True)) / 5
    found = contrastive_loss(features, given, 0.2, torch.tensor(weights))
    assert float(found) == pytest.approx(weighed, rel=1e-5)


def test_without_two_rows_of_a_class_there_is_nothing_to_compare() -> None:
    assert contrastive_loss(torch.randn(3, 4), torch.tensor([0, 1, 2]), 0.1) is None


def test_the_penalty_compares_the_mean_states_of_rows(learner, update_of, sentences, tiny_config) -> None:
    rows = sentences(["loan", "fee"], 8)
    batch = collate(learner.task, learner.encode(rows), list(range(8)), learner.tokenizer.pad_token_id, learner.device)
    learner.eval_mode()
    step = take_forward_pass(learner, batch, rows["id"].tolist(), tiny_config().training, None)
    states = learner.encoder(input_ids=batch.input_ids, attention_mask=batch.mask).last_hidden_state
    pooled = torch.stack([row[mask.bool()].mean(0) for row, mask in zip(states, batch.mask, strict=True)])
    expected = contrastive_loss(pooled, batch.targets, 0.3)
    found = Contrastive(strength=2.0, temperature=0.3).penalty(update_of(learner, rows), step)
    assert found.item() == pytest.approx(2 * expected.item(), rel=1e-4)


def test_the_head_is_fitted_on_all_rows_so_far(learner, update_of, sentences) -> None:
    old, new = sentences(["loan"], 20, prefix="a"), sentences(["fee"], 20, prefix="b", seed=1)
    update = update_of(learner, new)
    update = replace(update, lesson=replace(update.lesson, past=lambda: old))
    Contrastive().end(update)
    both = pd.concat([old, new], ignore_index=True)
    assert learner.task.score(both, answer(learner, both).values)["accuracy"] > 0.9


@pytest.mark.parametrize("company", [[], ["replay", "ewc"], ["der"], ["fgm"], ["lwf"]])
def test_it_composes(company, tiny_config, sentences, tmp_path) -> None:
    parts = {"one": ["loan", "fee"], "two": ["box", "lamp"]}

    def rows_of(ids, split):
        return pd.concat([sentences(parts[id], 16, prefix=id) for id in ids] or [sentences(["fee"], 0)])

    config = tiny_config(strategy=["contrastive", *company])
    train(config, champion=None, new=["one"], past=[], rows_of=rows_of, folder=tmp_path / "1")
    train(config, champion=tmp_path / "1", new=["two"], past=["one"], rows_of=rows_of, folder=tmp_path / "2")
    learner, rows = load_learner(tmp_path / "2"), rows_of(["one", "two"], "test")
    assert learner.task.score(rows, answer(learner, rows).values)["accuracy"] > 0.7


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model": {"tuning": "head"}}, "it moves the features, which model.tuning: head does not train"),
        ({"strategy": ["contrastive", "averaging"]}, "it sets the head in the end, and so does 'averaging'; leave one"),
        ({"strategy": ["averaging", "contrastive"]}, "it sets the head in the end, and so does 'averaging'; leave one"),
        ({"strategy": ["contrastive", "ncm"]}, "'contrastive' would have no effect; use it alone"),
    ],
)
def test_what_it_does_not_go_with_is_refused(change, reason) -> None:
    with pytest.raises(ConfigError, match=reason):
        parse({"strategy": "contrastive", **change}, where="test")
