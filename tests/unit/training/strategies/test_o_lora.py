from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
import torch

from cl.config import parse
from cl.errors import ConfigError
from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.models.persistence import load_learner
from cl.models.tunings.lora import down_projections
from cl.training.strategies import Update, load_states
from cl.training.strategies.o_lora import OLoRA
from cl.training.train import train

QUERY = "encoder.layer.0.attention.self.query"


@pytest.fixture
def config(tiny_config, tiny_model):
    model = {"name": str(tiny_model), "tuning": {"name": "lora", "rank": 2, "learning_rate": 0.02}, "dropout": 0.0}
    return tiny_config(model=model, strategy="o_lora")


@pytest.fixture
def champion(config):
    """A learner whose LoRA has learnt something."""
    torch.manual_seed(0)
    learner = grow_labels(new_learner(config), ["loan", "fee"], seed=1)
    freeze_all_but_tuned(learner)
    with torch.no_grad():
        for name, parameter in learner.encoder.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    learner.eval_mode()
    return learner


def later(update: Update, learner) -> Update:
    return Update(update.state, replace(update.lesson, known=2), learner)


def test_the_champion_answers_the_same_after_it_has_been_folded(champion, update_of, step_of, sentences) -> None:
    rows = sentences(["loan", "fee"], 6)
    before, old = step_of(champion, rows).logits, down_projections(champion.encoder)[QUERY].detach().clone()
    update = later(update_of(champion, rows), champion)
    OLoRA().begin(update)
    torch.testing.assert_close(step_of(champion, rows).logits, before, rtol=1e-4, atol=1e-5)
    assert torch.equal(update.scratch[f"past.{QUERY}"], old)
    assert not torch.equal(down_projections(champion.encoder)[QUERY], old)
    zero = [parameter for name, parameter in champion.encoder.named_parameters() if "lora_B" in name]
    assert zero and not any(parameter.any() for parameter in zero)


def test_the_penalty_by_hand(champion, update_of, sentences) -> None:
    width = champion.head.width
    past, now = torch.zeros(4, width), torch.zeros(2, width)
    past[0, 0], past[1, 1], past[2, 0], past[3, 5] = 1.0, 2.0, 3.0, 9.0
    now[0, 0], now[1, 1] = 1.0, -1.0
    update = update_of(champion, sentences(["loan"], 2))
    update.scratch[f"past.{QUERY}"] = past
    matrix = down_projections(champion.encoder)[QUERY]
    with torch.no_grad():
        matrix.copy_(now)
    penalty = OLoRA(strength=0.1).penalty(update, None)
    assert penalty.item() == pytest.approx(0.1 * (1.0 + 4.0 + 9.0))
    penalty.backward()
    # by the first entry: 2 * 0.1 * (1 * 1 + 3 * 3)
    assert matrix.grad[0, 0].item() == pytest.approx(2.0) and matrix.grad[0, 5].item() == 0.0


def test_past_subspaces_pile_up_and_those_never_used_do_not_count(champion, update_of, sentences) -> None:
    rows, o_lora = sentences(["loan"], 4), OLoRA()
    first = later(update_of(champion, rows), champion)
    o_lora.begin(first)
    state = o_lora.end(first)
    unused = later(update_of(champion, rows, state), champion)
    o_lora.begin(unused)  # B is still zero: nothing was learnt in between
    assert unused.scratch[f"past.{QUERY}"].shape[0] == 2
    with torch.no_grad():
        dict(champion.encoder.named_parameters())[f"{QUERY}.lora_B.default.weight"].fill_(1.0)
    second = later(update_of(champion, rows, state), champion)
    o_lora.begin(second)
    assert torch.equal(second.scratch[f"past.{QUERY}"][:2], state.tensors[f"past.{QUERY}"])
    assert second.scratch[f"past.{QUERY}"].shape[0] == 4
    other = QUERY.replace("query", "value")
    assert second.scratch[f"past.{other}"].shape[0] == 2


def test_a_first_experience_has_no_past(champion, update_of, sentences) -> None:
    update, weights = update_of(champion, sentences(["loan"], 2)), champion.encoder.state_dict()
    before = {name: one.clone() for name, one in weights.items()}
    OLoRA().begin(update)
    assert OLoRA().penalty(update, None) is None
    assert all(torch.equal(one, weights[name]) for name, one in before.items())


def test_the_subspace_just_learnt_outlives_another_tuning(config, tiny_model, sentences, tmp_path) -> None:
    """In between the LoRA is merged into the weights, and the next one has another rank."""
    full = config.model_copy(update={"model": config.model.model_copy(update={"tuning": "full"}), "strategy": "naive"})
    narrow = {"name": "lora", "rank": 1, "learning_rate": 0.02}
    other = config.model_copy(update={"model": config.model.model_copy(update={"tuning": narrow})})
    before, learnt, subspaces = None, [], {}
    for at, rung in enumerate((config, full, other)):
        one = f"{at}"
        rows_of = lambda ids, split: sentences(["loan", "fee"], 16, seed=len(ids))  # noqa: E731
        train(rung, champion=before, new=[one], past=learnt, rows_of=rows_of, folder=tmp_path / one)
        before, learnt = tmp_path / one, [*learnt, one]
        subspaces[at] = load_states(before)["o_lora"].tensors[f"past.{QUERY}"]
    first = down_projections(load_learner(tmp_path / "0").encoder)[QUERY]
    assert torch.equal(subspaces[0], first) and torch.equal(subspaces[1], first)
    assert subspaces[2].shape[0] == 2 + 1 and torch.equal(subspaces[2][:2], first)


def test_three_experiences_and_the_penalty_does_turn_the_subspaces(config, sentences, tmp_path) -> None:
    def rows_of(ids, split):
        return pd.concat([sentences([one, "fee"], 16, prefix=one) for one in ids], ignore_index=True)

    overlap = {}
    for strength in (1e-9, 1.0):
        strong = config.model_copy(update={"strategy": {"name": "o_lora", "strength": strength}})
        folder, learnt, before = tmp_path / str(strength), [], None
        folder.mkdir()
        for one in ("loan", "box", "lamp"):
            train(strong, champion=before, new=[one], past=learnt, rows_of=rows_of, folder=folder / one)
            before, learnt = folder / one, [*learnt, one]
        past = load_states(before)["o_lora"].tensors
        assert past[f"past.{QUERY}"].shape[0] == 6
        before_last = {name: one[:4] for name, one in past.items()}
        now = down_projections(load_learner(before).encoder)
        overlap[strength] = sum(
            float((before_last[f"past.{name}"] @ one.detach().T).abs().sum()) for name, one in now.items()
        )
    assert overlap[1.0] < 0.7 * overlap[1e-9]


@pytest.mark.parametrize("tuning", ["full", {"name": "ia3"}])
def test_other_tunings_are_refused(tuning) -> None:
    with pytest.raises(ConfigError, match="strategy: o_lora: it keeps LoRA subspaces orthogonal and needs"):
        parse({"strategy": "o_lora", "model": {"tuning": tuning}}, where="x")


@pytest.mark.parametrize("other", ["ewc", "si", "mas", "averaging"])
def test_who_holds_the_old_matrices_is_refused(other) -> None:
    with pytest.raises(ConfigError, match=f"o_lora: every update resets its matrices, but '{other}' holds"):
        parse({"strategy": [other, "o_lora"], "model": {"tuning": "lora"}}, where="x")


def test_a_restart_is_refused_and_replay_and_distillation_are_not() -> None:
    with pytest.raises(ConfigError, match="o_lora: it holds on to the champion's subspaces, but 'gdumb' starts every"):
        parse({"strategy": ["gdumb", "o_lora"], "model": {"tuning": "lora"}}, where="x")
    parse({"strategy": ["replay", "lwf", "o_lora"], "model": {"tuning": {"name": "lora", "rank": 4}}}, where="x")
