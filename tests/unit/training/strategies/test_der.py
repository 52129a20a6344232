from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.tasks import Batch
from cl.tasks.text_classification import TextClassification
from cl.training.strategies import State, Step, load_states, save_states
from cl.training.strategies.der import DER, LOGITS

ASKED = SimpleNamespace(task=TextClassification())
"""What the penalty asks of a learner."""


def step(ids: list[str], logits: list, targets: list) -> Step:
    nothing = torch.zeros(len(ids), 1, dtype=torch.long)
    return Step(ids, Batch(nothing, nothing, torch.tensor(targets), []), torch.tensor(logits, requires_grad=True))


def stored(**logits: list) -> State:
    return State(rows=pd.DataFrame({"id": list(logits), "logits": [np.float32(one) for one in logits.values()]}))


def test_the_distance_is_over_recalled_rows_and_the_labels_they_knew(update_of) -> None:
    state = stored(a=[[1.0, 2.0]], b=[[0.0, 0.0, 1.0]])
    batch = step(["a", "new", "b"], [[2.0, 0.0, 9.0], [5.0, 5.0, 5.0], [0.0, 3.0, 1.0]], [0, 1, 2])
    # a: 1, 4 (its third label is younger than it); b: 0, 9, 0; a mean over five logits
    penalty = DER(alpha=0.5).penalty(update_of(ASKED, None, state), batch)
    assert penalty.item() == pytest.approx(0.5 * 14 / 5)
    penalty.backward()
    expected = torch.tensor([[2.0, -4.0, 0.0], [0.0, 0.0, 0.0], [0.0, 6.0, 0.0]]) * 0.5 / 5
    torch.testing.assert_close(batch.logits.grad, expected)


def test_tokens_are_compared_where_they_have_a_tag(update_of) -> None:
    state = stored(a=[[1.0, 1.0], [0.0, 0.0]])
    logits = [[[7.0, 7.0], [1.0, 3.0], [7.0, 7.0], [1.0, 0.0]]]
    batch = step(["a"], logits, [[-100, 0, -100, 1]])
    assert DER(alpha=1).penalty(update_of(ASKED, None, state), batch).item() == pytest.approx((4 + 1) / 4)
    shorter = step(["a"], [logits[0][:3]], [[-100, 0, -100]])
    assert DER(alpha=1).penalty(update_of(ASKED, None, state), shorter).item() == pytest.approx(4 / 2)


def test_beta_weighs_the_recalled_rows_in_the_mean(update_of) -> None:
    batch = step(["a", "new"], [[0.0, 0.0], [0.0, math.log(3.0)]], [0, 1])
    recalled, fresh = math.log(2.0), math.log(4 / 3)
    total = TextClassification().loss(batch.logits, batch.batch.targets)
    assert total.item() == pytest.approx((recalled + fresh) / 2)
    total = total + DER(alpha=0, beta=0.2).penalty(update_of(ASKED, None, stored(a=[[0.0, 0.0]])), batch)
    assert total.item() == pytest.approx((0.2 * recalled + fresh) / 2)


def test_nothing_is_added_where_nothing_is_recalled(update_of) -> None:
    batch = step(["new"], [[1.0, 2.0]], [0])
    assert DER().penalty(update_of(ASKED, None), batch) is None
    assert DER().penalty(update_of(ASKED, None, stored(a=[[1.0, 2.0]])), batch) is None
    empty = State(rows=pd.DataFrame({"id": ["new"], "logits": [[]]}))
    assert DER().penalty(update_of(ASKED, None, empty), batch).item() == 0.0


def test_rows_are_stored_with_the_logits_they_had_and_keep_them(learner, update_of, sentences, step_of, tmp_path):
    learner.eval_mode()
    der, rows = DER(rows=100), sentences(["loan", "fee"], 8)
    save_states({"der": der.end(update_of(learner, rows))}, tmp_path)
    state = load_states(tmp_path)["der"]
    update = update_of(learner, sentences(["box"], 4, prefix="n"), state)
    assert der.penalty(update, step_of(learner, rows)).item() == pytest.approx(0.0, abs=1e-10)
    wider = grow_labels(learner, ["box"], seed=2)
    with torch.no_grad():
        wider.head.blocks[0].bias += 2.0
        wider.head.blocks[1].bias += 7.0
    update = update_of(wider, update.lesson.rows, state)
    assert der.penalty(update, step_of(wider, rows)).item() == pytest.approx(der.alpha * 4.0, rel=1e-4)
    later = der.end(update).rows.set_index("id")[LOGITS]
    assert {row: len(one[0]) for row, one in later.items()} == {row: 3 if row[0] == "n" else 2 for row in later.index}
    assert all(np.array_equal(one[0], later[row][0]) for row, one in state.rows.set_index("id")[LOGITS].items())


def test_sentences_of_tokens_are_stored_without_padding_and_pieces(tiny_config, update_of, step_of, tmp_path) -> None:
    rows = pd.DataFrame({"id": ["a", "b"], "tokens": [["anna", "lives", "in", "york"], ["parcels"]]})
    rows["tags"] = [["B-PER", "O", "O", "B-LOC"], ["O"]]
    learner = new_learner(tiny_config(task="token_classification"))
    learner = grow_labels(learner, learner.task.labels(rows), seed=1)
    freeze_all_but_tuned(learner)
    save_states({"der": DER().end(update_of(learner, rows))}, tmp_path)
    state = load_states(tmp_path)["der"]
    assert [np.stack([*one]).shape for one in state.rows[LOGITS]] == [(4, 5), (1, 5)]
    assert DER().penalty(update_of(learner, rows, state), step_of(learner, rows)).item() == pytest.approx(0, abs=1e-10)


def test_a_column_of_the_data_may_be_called_logits(learner, update_of, sentences, step_of) -> None:
    learner.eval_mode()
    rows = sentences(["loan", "fee"], 8).assign(logits="see the appendix")
    state = DER(rows=100).end(update_of(learner, rows))
    assert set(state.rows["logits"]) == {"see the appendix"} and state.rows[LOGITS].notna().all()
    penalty = DER(rows=100).penalty(update_of(learner, rows, state), step_of(learner, rows))
    assert penalty.item() == pytest.approx(0.0, abs=1e-10)
