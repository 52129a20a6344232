from __future__ import annotations

import pytest
import torch

from cl.models.build import grow_labels
from cl.models.closed_form_head import MAX_UNSOLVED_LOGIT, STEPS, ClosedFormHead, lowest_logit
from cl.models.persistence import load_learner, save_learner
from cl.training.train import train


def solved(expansion: int, scale: float = 1.0) -> ClosedFormHead:
    head, generator = ClosedFormHead(16, 4, layers=2, expansion=expansion), torch.Generator().manual_seed(0)
    head.solve(scale * torch.randn(head.weight.shape, generator=generator), scale * torch.randn(4, generator=generator))
    return head


def whole(rows: int = 33, width: int = 32) -> torch.Tensor:
    return torch.randint(-STEPS, STEPS + 1, (rows, width), generator=torch.Generator().manual_seed(1)).float()


@pytest.mark.parametrize("expansion", [0, 300])
def test_old_logits_are_the_same_to_the_bit_when_labels_are_added(expansion) -> None:
    head = solved(expansion)
    before = head(whole())
    head.grow(3, torch.Generator())
    after = head(whole())
    assert after.shape == (33, 7) and torch.equal(before, after[:, :4])


def test_a_head_that_has_grown_is_saved_before_it_is_solved(tiny_config, sentences, tmp_path) -> None:
    rows = sentences(["loan", "fee"], 12)
    config = tiny_config(strategy="ncm")
    train(config, champion=None, new=["a"], past=[], rows_of=lambda *_: rows, folder=tmp_path / "one")
    learner = grow_labels(load_learner(tmp_path / "one"), ["box"], seed=0)
    (tmp_path / "two").mkdir()
    save_learner(learner, tmp_path / "two")
    again = load_learner(tmp_path / "two")
    assert again.labels == ["fee", "loan", "box"]
    assert torch.equal(
        again.head(whole(width=len(again.head.weight))), learner.head(whole(width=len(learner.head.weight)))
    )


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_class_that_was_never_solved_for_is_never_the_answer(scale) -> None:
    head = solved(0, scale)
    head.grow(3, torch.Generator())
    logits = head(torch.cat([whole(), -STEPS * head.weight.T.sign()]))
    assert (logits[:, :4].min(1).values >= logits[:, 4:].max(1).values).all()


def test_the_lowest_logit_is_as_it_was_until_something_falls_below_it() -> None:
    assert lowest_logit(torch.zeros(5, 0), torch.zeros(0)) == MAX_UNSOLVED_LOGIT
    assert lowest_logit(torch.full((5, 2), 1e-3), torch.zeros(2)) == MAX_UNSOLVED_LOGIT
    assert lowest_logit(torch.ones(4, 1), torch.tensor([-1e5])) == -1e5 - STEPS * 4


def test_features_are_expanded_alike_with_and_without_gradients_and_stay_as_they_were() -> None:
    head = ClosedFormHead(8, 2, layers=2, expansion=50)
    whole = torch.randint(-127, 128, (20, 16)).float()
    before = whole.clone()
    with torch.inference_mode():
        expanded = head.expand(whole)
    assert torch.equal(expanded, head.expand(whole.requires_grad_()).detach()) and torch.equal(whole.detach(), before)
    assert expanded.min() >= 0 and expanded.max() == 127


def test_a_head_that_is_made_while_predicting_can_be_attacked_later() -> None:
    with torch.inference_mode():
        ClosedFormHead(8, 2, expansion=31, seed=5)
    head, whole = ClosedFormHead(8, 2, expansion=31, seed=5), torch.ones(1, 8, requires_grad=True)
    head.expand(whole).sum().backward()
    assert whole.grad is not None


def test_features_expanded_to_int8_are_those_that_a_head_reads() -> None:
    head = ClosedFormHead(24, 2, layers=2, expansion=70, seed=3)
    whole = torch.randint(-127, 128, (600, 48), generator=torch.Generator().manual_seed(0), dtype=torch.int8)
    with torch.no_grad():
        exact = (whole.double() @ head.projection.double()).float()
        assert torch.equal(head._project(whole.float()), exact)
        assert torch.equal(head.expand_integers(whole).float(), head.expand(whole.float()))
    assert head.expand_integers(whole[:0]).shape == (0, 70)
