"""FGM, PGD, FreeLB and SMART against their formulas, written out over the encoder's own `inputs_embeds`."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch.nn import functional

from cl import plugins
from cl.config import parse
from cl.cycle.cost import UpdateSizes, expected_cost
from cl.errors import ConfigError
from cl.models.batching import collate
from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.models.half_weights import HalfWeights
from cl.models.inference import answer
from cl.models.persistence import load_learner
from cl.records import RungResult
from cl.training.forward import take_forward_pass
from cl.training.strategies import load_states
from cl.training.strategies._perturbations import words_of
from cl.training.strategies.fgm import FGM
from cl.training.strategies.freelb import FreeLB
from cl.training.strategies.pgd import PGD
from cl.training.strategies.smart import SMART
from cl.training.train import train

ALL = {"fgm": FGM, "pgd": PGD, "freelb": FreeLB, "smart": SMART}
SPECIAL = [0, 2, 3, 4]
"""The ids of padding and of the tokens around a text; an unknown word, 1, is a word."""


@pytest.fixture
def rows(sentences) -> pd.DataFrame:
    rows = sentences(["loan", "fee"], 6)
    rows.loc[0, "text"] += " zzz qqq"  # unknown words, and a longer row than the others
    return rows


@pytest.fixture
def learner(learner):
    with torch.no_grad():
        for parameter in learner.head.parameters():
            parameter.mul_(20)  # answers that are not all alike
    learner.eval_mode()
    return learner


@pytest.fixture
def prepared(learner, rows, update_of, tiny_config):
    """The update and the step of a batch of all rows; ``change`` the settings of training."""

    def make(learner=learner, rows=rows, halves=None, **training):
        settings = tiny_config(training={"precision": "float32", **training}).training
        encoded, pad = learner.encode(rows), learner.tokenizer.pad_token_id
        batch = collate(learner.task, encoded, list(range(len(rows))), pad, learner.device)
        step = take_forward_pass(learner, batch, rows["id"].tolist(), settings, halves, repeatable=True)
        return update_of(learner, rows), step

    return make


def logits_at(learner, batch, embeddings: torch.Tensor) -> torch.Tensor:
    states = learner.encoder(inputs_embeds=embeddings, attention_mask=batch.mask).last_hidden_state
    mask = batch.mask[:, :, None].float()
    pooled = (states * mask).sum(1) / mask.sum(1)
    return torch.cat([pooled @ block.weight.T + block.bias for block in learner.head.blocks], dim=1)


def loss_at(learner, batch, embeddings: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(logits_at(learner, batch, embeddings), batch.targets)


def embeddings_of(learner, batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the embeddings, which tokens may move, and the length of each row's movable embeddings."""
    embeddings = learner.encoder.embeddings.word_embeddings.weight.detach()[batch.input_ids]
    moves = ~torch.isin(batch.input_ids, torch.tensor(SPECIAL))[:, :, None]
    lengths = torch.stack([(row * own).norm() for row, own in zip(embeddings, moves, strict=True)])
    return embeddings, moves, lengths[:, None, None]


def direction_at(learner, batch, embeddings: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
    point = embeddings.clone().requires_grad_()
    loss_at(learner, batch, point).backward()
    gradient = point.grad * moves
    return torch.stack([row / row.norm() for row in gradient])


def cut(shift: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    return torch.stack(
        [row if row.norm() <= most else row / row.norm() * most for row, most in zip(shift, radius, strict=True)]
    )


def gradients(learner, value: torch.Tensor) -> dict[str, torch.Tensor]:
    names, parameters = zip(*learner.parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(value, parameters, materialize_grads=True), strict=True))


def assert_same_step(learner, strategy, update, step, expected: torch.Tensor) -> None:
    """The loss with the penalty, and its gradient in every parameter, are those of the formula."""
    clean = learner.task.loss(step.logits, step.batch.targets)
    total = clean + strategy.penalty(update, step)
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert expected.item() > clean.item() * 1.001  # the perturbation does something
    ours, theirs = gradients(learner, total), gradients(learner, expected)
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-3, atol=1e-6)


def test_fgm_adds_the_loss_one_step_up_the_gradient(learner, prepared) -> None:
    update, step = prepared()
    embeddings, moves, lengths = embeddings_of(learner, step.batch)
    shift = 0.2 * lengths * direction_at(learner, step.batch, embeddings, moves)
    expected = loss_at(learner, step.batch, embeddings) + loss_at(learner, step.batch, embeddings + shift)
    assert_same_step(learner, FGM(epsilon=0.2), update, step, expected)


@pytest.mark.parametrize("epsilon", [0.15, 10.0])
def test_pgd_adds_the_loss_where_projected_steps_lead(learner, prepared, epsilon) -> None:
    update, step = prepared()
    embeddings, moves, lengths = embeddings_of(learner, step.batch)
    shift = torch.zeros_like(embeddings)
    for _ in range(3):
        ahead = shift + 0.1 * lengths * direction_at(learner, step.batch, embeddings + shift, moves)
        shift = cut(ahead, epsilon * lengths)
    expected = loss_at(learner, step.batch, embeddings) + loss_at(learner, step.batch, embeddings + shift)
    assert_same_step(learner, PGD(epsilon=epsilon, pace=0.1, steps=3), update, step, expected)


@pytest.mark.parametrize("magnitude", [0.0, 0.5])
@pytest.mark.parametrize("epsilon", [None, 0.12])
def test_freelb_trains_on_the_mean_loss_along_the_way(learner, prepared, magnitude, epsilon) -> None:
    update, step = prepared()
    embeddings, moves, lengths = embeddings_of(learner, step.batch)
    strategy = FreeLB(steps=3, pace=0.1, magnitude=magnitude, epsilon=epsilon)
    torch.manual_seed(5)
    uniform = torch.rand_like(embeddings) * 2 - 1
    numbers = moves.sum(dim=(1, 2), keepdim=True) * embeddings.shape[-1]
    shift, losses = uniform * moves * magnitude * lengths / numbers.sqrt(), []
    for _ in range(3):
        losses.append(loss_at(learner, step.batch, embeddings + shift))
        shift = shift + 0.1 * lengths * direction_at(learner, step.batch, embeddings + shift, moves)
        shift = shift if epsilon is None else cut(shift, epsilon * lengths)
    torch.manual_seed(5)
    assert_same_step(learner, strategy, update, step, torch.stack(losses).mean())


def test_smart_adds_the_divergence_of_answers_within_each_words_reach(learner, prepared) -> None:
    update, step = prepared()
    embeddings, moves, _ = embeddings_of(learner, step.batch)
    sizes = embeddings.square().mean(-1, keepdim=True).sqrt() * moves

    def divergence(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
        ours, theirs = ours.log_softmax(-1), theirs.log_softmax(-1)
        both = [functional.kl_div(*pair, reduction="batchmean", log_target=True) for pair in ((ours, theirs),)]
        return both[0] + functional.kl_div(theirs, ours, reduction="batchmean", log_target=True)

    torch.manual_seed(7)
    shift = (0.05 * sizes * torch.randn_like(embeddings)).requires_grad_()
    still = logits_at(learner, step.batch, embeddings)
    divergence(logits_at(learner, step.batch, embeddings + shift), still.detach()).backward()
    gradient = shift.grad / shift.grad.abs().amax(-1, keepdim=True).clamp(min=1e-30)
    shift = torch.minimum(torch.maximum(shift.detach() + 0.3 * sizes * gradient, -0.2 * sizes), 0.2 * sizes)
    smooth = divergence(logits_at(learner, step.batch, embeddings + shift), still)
    torch.manual_seed(7)
    strategy = SMART(strength=2.0, epsilon=0.2, pace=0.3, noise=0.05)
    assert_same_step(learner, strategy, update, step, loss_at(learner, step.batch, embeddings) + 2.0 * smooth)


def test_only_words_move(learner, prepared) -> None:
    update, step = prepared()
    _, words = words_of(update, step)
    still = torch.isin(step.batch.input_ids, torch.tensor(SPECIAL))
    assert (step.batch.input_ids == 1).any() and (step.batch.input_ids == 0).any()
    assert (words[still] == 0).all() and (words[~still] != 0).any(-1).all()


def test_freelb_drops_the_same_units_in_every_pass_and_fgm_others(learner, prepared, tiny_config, tiny_model) -> None:
    config = tiny_config(model={"name": str(tiny_model), "dropout": 0.5, "encoder_dropout": True})
    dropping = replace(learner, settings=config.model)
    for module in (*dropping.encoder.modules(), *dropping.head.modules()):
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    dropping.train_mode()
    update, step = prepared(dropping)
    clean = learner.task.loss(step.logits, step.batch.targets).item()
    state = torch.get_rng_state()
    assert FreeLB(pace=1e-9).penalty(update, step).item() == pytest.approx(0.0, abs=1e-5 * clean)
    assert torch.equal(torch.get_rng_state(), state)
    assert abs(FGM(epsilon=1e-9).penalty(update, step).item() - clean) > 1e-2 * clean


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_in_bfloat16_the_gradient_points_where_it_does_in_float32(name, tuning, tiny_model, prepared) -> None:
    config = parse({"model": {"name": str(tiny_model), "dropout": 0.0, "tuning": tuning}}, where="test")
    learner = grow_labels(new_learner(config), ["loan", "fee"], seed=1)
    freeze_all_but_tuned(learner)
    learner.eval_mode()
    with torch.no_grad():
        for parameter in learner.head.parameters():
            parameter.mul_(20)
    directions = []
    for halves, precision in ((None, "float32"), (None, "bfloat16"), (HalfWeights(learner.encoder), "bfloat16")):
        torch.manual_seed(1)
        update, step = prepared(learner, halves=halves, precision=precision)
        penalty = ALL[name]().penalty(update, step)
        found = gradients(learner, penalty + learner.task.loss(step.logits, step.batch.targets))
        directions.append(torch.cat([gradient.flatten() for gradient in found.values()]))
        assert all(isinstance(parameter, torch.nn.Parameter) for _, parameter in learner.encoder.named_parameters())
    for other in directions[1:]:
        assert functional.cosine_similarity(directions[0], other, dim=0) > 0.98


@pytest.mark.parametrize("name", ALL)
def test_a_text_read_in_windows_is_perturbed_window_by_window(name, prepared, tiny_config, tiny_model, rows) -> None:
    model = {"name": str(tiny_model), "dropout": 0.0, "max_length": 16, "windows": {"overlap": 4, "at_most": 8}}
    learner = grow_labels(new_learner(tiny_config(model=model)), ["loan", "fee"], seed=1)
    freeze_all_but_tuned(learner)
    long = rows.assign(text=rows["text"] + " loan" * 30)
    update, step = prepared(learner, long)
    _, words = words_of(update, step)
    assert len(words) > len(long) and words.shape[1] == 16
    assert float(ALL[name]().penalty(update, step)) > 0


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("tuning", ["full", "lora"])
@pytest.mark.parametrize("name", ALL)
def test_it_composes_with_replay_ewc_and_lora(
    name, tuning, precision, tiny_config, tiny_model, sentences, tmp_path
) -> None:
    parts = {"one": ["loan", "fee"], "two": ["box"]}

    def rows_of(ids, split):
        return pd.concat([sentences(parts[id], 16, prefix=id) for id in ids] or [sentences(["fee"], 0)])

    found = {}
    for kind, strategies in (("with", [name, "replay", "ewc"]), ("without", ["replay", "ewc"])):
        config = tiny_config(
            strategy=strategies,
            model={"name": str(tiny_model), "tuning": tuning, "max_length": 32},
            training={"epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "precision": precision},
        )
        folder = tmp_path / kind
        train(config, champion=None, new=["one"], past=[], rows_of=rows_of, folder=folder / "1")
        result = train(config, champion=folder / "1", new=["two"], past=["one"], rows_of=rows_of, folder=folder / "2")
        learner = load_learner(folder / "2")
        assert result.rows_recalled > 0 and load_states(folder / "2")["ewc"].tensors
        assert len(answer(learner, rows_of(["one", "two"], "test")).values) == 32
        found[kind] = learner.encoder.state_dict()
    assert any(not torch.equal(tensor, found["without"][key]) for key, tensor in found["with"].items())


@pytest.mark.parametrize("name", ALL)
def test_what_makes_no_sense_is_refused(name) -> None:
    other = next(key for key in ALL if key != name)
    refused = {
        "it makes the encoder robust, which model.tuning: head does not train": {"model": {"tuning": "head"}},
        f"'{other}' perturbs the same words; leave one of the two out": {"strategy": [name, other]},
        f"'{name}' would have no effect; use it alone": {"strategy": [name, "ranpac"]},
    }
    for reason, change in refused.items():
        with pytest.raises(ConfigError, match=reason):
            parse({"strategy": name, **change}, where="test")
    assert plugins.build("strategies", name).passes > 1


def test_a_rung_is_expected_to_cost_as_many_passes_as_it_makes() -> None:
    rungs = [{"name": name, "strategy": way} for name, way in (("plain", "naive"), ("hard", ["naive", "fgm"]))]
    ladder = parse({"ladder": rungs, "training": {"epochs": 1}}, where="test")
    known = [RungResult(rung="plain", rows=1_000, training_seconds=10.0)]
    seconds = [
        expected_cost(ladder.at_rung(rung), UpdateSizes(new=100, past=0), known, rung=rung, ladder=ladder).seconds
        for rung in ("plain", "hard")
    ]
    assert seconds == pytest.approx([1.0, 2.0])
