from __future__ import annotations

import logging
from dataclasses import replace

import pandas as pd
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from cl.config import parse
from cl.errors import ConfigError
from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.models.persistence import load_learner
from cl.models.tunings.lora import down_projections, matrices, set_matrices
from cl.records.history import History
from cl.registry.export import export
from cl.stores.version_folder import save_history
from cl.training.strategies import Update, load_states
from cl.training.strategies.o_lora import OLoRA
from cl.training.train import train
from tests.support.task_rows import config_of, made_rows, rows_of, task_of

LORA = {"name": "lora", "rank": 2, "alpha": 4.0, "learning_rate": 0.02}
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


@pytest.fixture
def writer(tiny_model):
    """A language model whose LoRA has learnt something."""
    config = config_of(tiny_model, "text_generation", strategy="o_lora", model={"tuning": LORA})
    torch.manual_seed(0)
    learner = grow_labels(new_learner(config), ["text"], seed=1)
    freeze_all_but_tuned(learner)
    randomise(learner)
    learner.eval_mode()
    return learner


def randomise(learner) -> None:
    with torch.no_grad():
        for _, parameter in learner.parameters():
            parameter.normal_(std=0.3)


def logits_of(learner, rows) -> torch.Tensor:
    with torch.no_grad():
        ((_, (logits,)),) = learner.run(learner.encode(rows), batch_size=None)
    return logits


def written_update(update_of, learner, **lesson) -> Update:
    plain = update_of(learner, made_rows(task_of("text_generation"), ["loan", "fee"], 6))
    return replace(plain, lesson=replace(plain.lesson, known=1, **lesson))


def test_the_cumulative_adapter_of_a_language_model_is_the_fold_and_then_the_sum(writer, update_of) -> None:
    """What answers with both updates next to each other answers as weights do into which both were merged."""
    update = written_update(update_of, writer)
    rows, base = update.lesson.rows, {name: tensor.clone() for name, tensor in writer.encoder.state_dict().items()}
    first, before = {n: up @ down for n, (up, down) in matrices(writer.encoder).items()}, logits_of(writer, rows)
    OLoRA().begin(update)
    torch.testing.assert_close(logits_of(writer, rows), before)
    assert {name for name, p in writer.parameters() if "past" in name} == set()
    randomise(writer)
    second = {n: up @ down for n, (up, down) in matrices(writer.encoder).items()}
    apart = logits_of(writer, rows)
    OLoRA().end(update)
    after = matrices(writer.encoder)
    assert all(down.shape[0] == 4 for _, down in after.values())
    for name, (up, down) in after.items():
        torch.testing.assert_close(up @ down, first[name] + second[name], atol=1e-5, rtol=0)
    torch.testing.assert_close(logits_of(writer, rows), apart, atol=1e-5, rtol=0)
    stayed = {name: tensor for name, tensor in writer.encoder.state_dict().items() if "lora_" not in name}
    assert all(torch.equal(tensor, base[name]) for name, tensor in stayed.items())
    with torch.no_grad():  # the same by hand: both are folded into the base
        for name, layer in writer.encoder.named_modules():
            if name in first:
                layer.get_base_layer().weight += first[name] + second[name]
                layer.lora_B["default"].weight.zero_()
    torch.testing.assert_close(logits_of(writer, rows), apart, atol=1e-5, rtol=0)


def test_the_penalty_of_a_language_model_by_hand(writer, update_of) -> None:
    layers = down_projections(writer.encoder)
    with torch.no_grad():
        for matrix in layers.values():
            matrix.zero_()
        last = next(reversed(layers.values()))
        last[0, 0], last[1, 1] = 3.0, 2.0
    update = written_update(update_of, writer)
    OLoRA().begin(update)
    now = down_projections(writer.encoder)
    with torch.no_grad():
        for matrix in now.values():
            matrix.zero_()
        next(reversed(now.values()))[:, :2] = torch.tensor([[1.0, 0.5], [0.0, 2.0]])
    penalty = OLoRA(strength=0.1).penalty(update, None)
    # |A_past A^T|^2: 3 * 1, 2 * 0.5 and 2 * 2
    assert penalty.item() == pytest.approx(0.1 * (9.0 + 1.0 + 16.0))


def test_above_the_highest_rank_the_smallest_directions_are_lost_and_that_is_logged(writer, update_of, caplog) -> None:
    update, strategy = written_update(update_of, writer), OLoRA(max_rank=3)

    def put(rows: int, sizes: tuple[float, float]) -> None:
        updates = {}
        for name, (up, down) in matrices(writer.encoder).items():
            left, right = torch.zeros_like(up), torch.zeros_like(down)
            for index, size in enumerate(sizes):
                left[rows + index, index], right[index, rows + index] = size, 1.0
            updates[name] = left, right
        set_matrices(writer.encoder, updates)

    put(0, (4.0, 1.0))
    strategy.begin(update)
    put(2, (3.0, 2.0))
    with caplog.at_level(logging.INFO, logger="cl.training.strategies.o_lora"):
        strategy.end(update)
    assert "cut to rank 3, 3.33 % of all updates lost" in caplog.text  # 1 of 30
    for up, down in matrices(writer.encoder).values():
        assert down.shape[0] == 3
        torch.testing.assert_close((up @ down)[:4, :4].diagonal(), torch.tensor([4.0, 0.0, 3.0, 2.0]))


def test_two_cycles_of_a_language_model_are_one_adapter_that_peft_reads(tiny_model, tmp_path) -> None:
    """A version has what was trained of both, by reference; its own update is orthogonal; the next one goes on."""
    rows, overlaps = rows_of(task_of("text_generation")), []
    for strength in (1e-9, 100.0):
        config = config_of(
            tiny_model,
            "text_generation",
            strategy=["replay", {"name": "o_lora", "strength": strength}],
            model={"tuning": LORA},
            training={"epochs": 6, "patience": 6, "batch_size": 4, "precision": "float32"},
        )
        folder, learnt, before = tmp_path / str(strength), [], None
        for name in ("one", "two", "one again"):
            read = lambda ids, split: rows([id.split()[0] for id in ids], split)  # noqa: E731
            train(config, champion=before, new=[name], past=learnt, rows_of=read, folder=folder / name)
            before, learnt = folder / name, [*learnt, name]
        first, second, third = (load_learner(folder / name) for name in ("one", "two", "one again"))
        assert second.by_reference and not (folder / "two" / "encoder" / "config.json").exists()
        old, new = down_projections(first.encoder), down_projections(second.encoder)
        for name, matrix in new.items():
            assert matrix.shape[0] == 4 and torch.equal(matrix[:2], old[name])
            torch.testing.assert_close(matrices(second.encoder)[name][0][:, :2], matrices(first.encoder)[name][0])
            assert len(down_projections(third.encoder)[name]) == 6
        overlaps.append(sum(float((m[:2] @ m[2:].T).square().sum()) for m in (p.detach() for p in new.values())))
    assert overlaps[1] < overlaps[0] / 4
    save_history(History(), folder / "two")
    export(folder / "two", tmp_path / "out", version="2", model="shop")
    base = AutoModelForCausalLM.from_pretrained(second.settings.name)
    loaded = PeftModel.from_pretrained(base, tmp_path / "out" / "adapter").eval()
    (encoded,) = second.encode(rows(["two"], "test").head(1))
    ids = torch.tensor([encoded.input_ids])
    with torch.no_grad():
        torch.testing.assert_close(loaded(ids).logits, second.encoder(ids).logits, atol=1e-5, rtol=0)
        with loaded.disable_adapter():
            assert not torch.allclose(loaded(ids).logits, second.encoder(ids).logits, atol=1e-3)
