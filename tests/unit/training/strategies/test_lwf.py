from __future__ import annotations

import math
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from cl.config import parse
from cl.errors import ConfigError
from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.tasks import Batch
from cl.tasks.text_classification import TextClassification
from cl.training.strategies import Step, TrainingData, Update
from cl.training.strategies.lwf import LwF

ASKED = SimpleNamespace(task=TextClassification())
"""What the penalty asks of a learner."""


def step(ids: list[str], logits: list, targets: list) -> Step:
    nothing = torch.zeros(len(ids), 1, dtype=torch.long)
    return Step(ids, Batch(nothing, nothing, torch.tensor(targets), []), torch.tensor(logits, requires_grad=True))


def recorded(ids: list[str], logits: list, ends: list[int]) -> Update:
    lesson = TrainingData(rows=pd.DataFrame({"id": ids}), past=lambda: None, rng=None, known=len(logits[0]))
    return Update(None, lesson, ASKED, {"logits": torch.tensor(logits), "ends": torch.tensor(ends)})


def test_the_distillation_loss_by_hand() -> None:
    update = recorded(["a", "b"], [[math.log(9.0), 0.0], [0.0, 0.0]], [1, 2])
    # at temperature 2 the champion's 9 : 1 is 3 : 1; the model's 1 : 1 stays; a third label has no part in it
    batch = step(["b", "recalled", "a"], [[0.0, 0.0, 5.0], [3.0, 1.0, 5.0], [0.0, 0.0, -5.0]], [2, 0, 2])
    penalty = LwF(strength=3.0).penalty(update, batch)
    assert penalty.item() == pytest.approx(3.0 * math.log(2.0))
    penalty.backward()
    # of the row a: strength * (1/2 - 3/4) / temperature / 2 rows
    expected = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [-0.1875, 0.1875, 0.0]])
    torch.testing.assert_close(batch.logits.grad, expected)


def test_where_each_rows_logits_lie_is_found_once_for_all_steps() -> None:
    update = recorded(["a", "b"], [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]], [1, 3])
    LwF().penalty(update, step(["a"], [[0.0, 1.0]], [0]))
    slices = update.cache["slices"]
    assert slices == {"a": slice(0, 1), "b": slice(1, 3)}
    LwF().penalty(update, step(["a"], [[0.0, 1.0]], [0]))
    assert update.cache["slices"] is slices


def test_a_batch_of_recalled_rows_adds_nothing() -> None:
    assert LwF().penalty(recorded(["a"], [[1.0, 0.0]], [1]), step(["recalled"], [[0.0, 1.0]], [0])) is None


def test_words_with_a_tag_are_distilled_and_nothing_else() -> None:
    update = recorded(["a", "b"], [[0.0, 0.0], [math.log(3.0), 0.0], [0.0, 0.0]], [1, 3])
    logits = [[[9.0, 0.0], [math.log(3.0), 0.0], [9.0, 0.0], [0.0, 0.0]]]
    penalty = LwF(temperature=1.0).penalty(update, step(["b"], logits, [[-100, 0, -100, 1]]))
    sure = 0.75 * math.log(4 / 3) + 0.25 * math.log(4.0)
    assert penalty.item() == pytest.approx((sure + math.log(2.0)) / 2)


def test_the_champions_answers_cost_nothing_to_keep(learner, update_of, step_of, sentences) -> None:
    rows = sentences(["loan", "box"], 9)
    wider = grow_labels(learner, ["box"], seed=2)
    update = update_of(wider, rows)
    update = Update(update.state, TrainingData(rows, update.lesson.past, update.lesson.rng, known=2), wider)
    wider.train_mode()
    LwF().begin(update)
    assert update.scratch["logits"].shape == (9, 2) and not update.scratch["logits"].requires_grad
    wider.eval_mode()
    LwF().penalty(update, step_of(wider, rows)).backward()
    assert max(float(p.grad.abs().max()) for _, p in wider.parameters() if p.grad is not None) < 1e-6
    with torch.no_grad():
        wider.head.blocks[1].bias += 5.0  # a new label may rise as it likes
    before = LwF().penalty(update, step_of(wider, rows)).item()
    with torch.no_grad():
        wider.head.blocks[0].bias += torch.tensor([2.0, 0.0])
    assert LwF().penalty(update, step_of(wider, rows)).item() > before + 0.01


def test_tokens_are_recorded_row_by_row(tiny_config, update_of, step_of) -> None:
    rows = pd.DataFrame({"id": ["a", "b"], "tokens": [["anna", "lives", "in", "york"], ["parcels"]]})
    rows["tags"] = [["B-PER", "O", "O", "O"], ["O"]]
    learner = new_learner(tiny_config(task="token_classification"))
    learner = grow_labels(learner, learner.task.labels(rows), seed=1)
    freeze_all_but_tuned(learner)
    plain = update_of(learner, rows)
    update = Update(plain.state, TrainingData(rows, plain.lesson.past, plain.lesson.rng, known=3), learner)
    LwF().begin(update)
    assert update.scratch["ends"].tolist() == [4, 5] and update.scratch["logits"].shape == (5, 3)
    LwF().penalty(update, step_of(learner, rows)).backward()
    assert max(float(p.grad.abs().max()) for _, p in learner.parameters() if p.grad is not None) < 1e-6


def test_a_first_experience_has_nothing_to_keep(learner, update_of, sentences) -> None:
    update = update_of(learner, sentences(["loan"], 4))
    LwF().begin(update)
    assert not update.scratch
    assert LwF().penalty(update, step(["r0-0"], [[0.0, 1.0]], [0])) is None


@pytest.mark.parametrize("name", ["lwf", "ewc", "si", "mas", "averaging"])
def test_who_holds_on_to_the_champion_is_refused_beside_a_restart(name) -> None:
    parse({"strategy": [name, "joint"]}, where="x")
    with pytest.raises(ConfigError, match=f"strategy: {name}: it holds on to the champion's .* 'joint' starts every"):
        parse({"strategy": [name, {"name": "joint", "restart": True}]}, where="x")
