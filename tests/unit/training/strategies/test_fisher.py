from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModel, DebertaV2Config, MPNetConfig

from cl.models.batching import batch_by_length, collate
from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.models.pretrained import without_pooler
from cl.training.strategies._fisher import diagonal_fisher
from tests.support.batches import batch_of


@pytest.fixture
def rows(sentences) -> pd.DataFrame:
    return sentences(["loan", "fee", "box"], 23)


def make_learner(config, rows):
    torch.manual_seed(0)
    learner = new_learner(config)
    learner = grow_labels(learner, learner.task.labels(rows), seed=1)
    freeze_all_but_tuned(learner)
    learner.eval_mode()
    return learner


def brute_force(learner, rows: pd.DataFrame) -> dict[str, torch.Tensor]:
    """One row at a time, one backward pass each."""
    totals = {name: torch.zeros_like(p) for name, p in learner.parameters()}
    for at in range(len(rows)):
        (one,) = learner.encode(rows.iloc[[at]])
        ids = torch.tensor([one.input_ids])
        targets = learner.task.targets([one], ids.shape[1])
        counted = int((targets >= 0).sum())
        loss = learner.task.loss(learner.logits(batch_of(ids)), targets) * counted
        gradients = torch.autograd.grad(loss, [p for _, p in learner.parameters()])
        for (name, _), gradient in zip(learner.parameters(), gradients, strict=True):
            totals[name] += gradient.square()
    return {name: total / len(rows) for name, total in totals.items()}


def assert_same(ours: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Every entry to 1e-5 of itself or 1e-6 of the largest; a key's bias, whose gradient is 0, is all rounding."""
    assert ours.keys() == expected.keys()
    for name, one in expected.items():
        torch.testing.assert_close(ours[name], one, rtol=1e-5, atol=1e-6 * float(one.max()) + 1e-14, msg=name)


def test_equals_a_loop_over_single_rows(tiny_config, rows) -> None:
    learner = make_learner(tiny_config(), rows)
    ours = diagonal_fisher(learner, rows, labels="empirical", rng=np.random.default_rng(0), rows_at_once=8)
    assert_same(ours, brute_force(learner, rows))


def test_equals_a_loop_over_single_rows_for_tokens(tiny_config) -> None:
    rows = pd.DataFrame(
        {
            "id": ["a", "b", "c"],
            "tokens": [
                ["anna", "lives", "in", "paris"],
                ["ben", "works"],
                ["the", "bank", "in", "york", "pays"],
            ],
            "tags": [["B-PER", "O", "O", "B-LOC"], ["B-PER", "O"], ["O", "B-ORG", "I-ORG", "I-ORG", "O"]],
        }
    )
    learner = make_learner(tiny_config(task="token_classification"), rows)
    ours = diagonal_fisher(learner, rows, labels="empirical", rng=np.random.default_rng(0))
    assert_same(ours, brute_force(learner, rows))


def test_padding_and_batch_size_do_not_matter(tiny_config, rows) -> None:
    learner = make_learner(tiny_config(), rows)
    one, many = (
        diagonal_fisher(learner, rows, labels="empirical", rng=np.random.default_rng(0), rows_at_once=size)
        for size in (1, 23)
    )
    assert_same(many, one)


@pytest.mark.parametrize(
    "tuning", [{"name": "full", "embeddings": True}, "bitfit", "lora", "ia3", "prompt", "prefix", "bottleneck"]
)
def test_whatever_moves_is_measured_as_the_loop_does(tiny_config, rows, tiny_model, tuning) -> None:
    """Embeddings too, which all rows share; what no rule covers is measured row by row."""
    config = tiny_config(model={"name": str(tiny_model), "tuning": tuning, "dropout": 0.0, "max_length": 32})
    learner = make_learner(config, rows)
    ours = diagonal_fisher(learner, rows, labels="empirical", rng=np.random.default_rng(0))
    assert_same(ours, brute_force(learner, rows))


@pytest.mark.parametrize(("tuning", "passes"), [("full", 3), ("bitfit", 3), ("bottleneck", 3), ("prompt", 23)])
def test_rows_go_together_where_each_layer_keeps_them_apart(tiny_config, rows, tiny_model, tuning, passes) -> None:
    """Prompts are repeated for each row by peft, after their layer."""
    learner = make_learner(
        tiny_config(model={"name": str(tiny_model), "tuning": tuning, "dropout": 0.0, "max_length": 32}), rows
    )
    sizes: list[int] = []
    learner.head.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    diagonal_fisher(learner, rows, labels="empirical", rng=np.random.default_rng(0), rows_at_once=8)
    assert sizes[-passes:] == ([8, 8, 7] if passes == 3 else [1] * 23)


SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
RELATIVE = {
    "mpnet": MPNetConfig(**SIZES, vocab_size=60, max_position_embeddings=64, initializer_range=0.2),
    "deberta-v2": DebertaV2Config(  # type: ignore[call-arg]
        **SIZES,
        vocab_size=60,
        initializer_range=0.2,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        norm_rel_ebd="layer_norm",
    ),
}


@pytest.mark.parametrize("name", RELATIVE)
def test_relative_positions_that_all_rows_share_are_measured_as_the_loop_does(tiny_config, rows, name) -> None:
    """Also in a batch of as many rows as tokens, where the two look alike."""
    learner = make_learner(tiny_config(), rows)
    learner = replace(learner, encoder=without_pooler(AutoModel.from_config(RELATIVE[name])))
    freeze_all_but_tuned(learner)
    learner.eval_mode()
    eight_tokens = rows[rows["text"].str.split().str.len() == 6].head(1)
    for given in (rows, pd.concat([eight_tokens] * 8, ignore_index=True)):
        ours = diagonal_fisher(learner, given, labels="empirical", rng=np.random.default_rng(0), rows_at_once=8)
        expected = brute_force(learner, given)
        assert max(float(one.max()) for key, one in expected.items() if ".rel" in key) > 1e-6
        assert_same(ours, expected)


def test_the_true_fisher_is_the_empirical_one_of_the_labels_that_were_drawn(tiny_config, rows) -> None:
    learner = make_learner(tiny_config(), rows)
    encoded = learner.encode(rows)
    (order,) = batch_by_length([len(one.input_ids) for one in encoded], len(rows))
    batch = collate(learner.task, encoded, order, learner.tokenizer.pad_token_id, learner.device)
    chance = torch.Generator().manual_seed(int(np.random.default_rng(5).integers(2**31)))
    drawn = torch.multinomial(learner.logits(batch).softmax(-1), 1, generator=chance)
    labels = pd.Series([learner.labels[int(one)] for one in drawn], index=order)
    assert 4 < sum(labels[at] == rows["label"][at] for at in order) < 19  # they are other labels than those given
    ours = diagonal_fisher(learner, rows, labels="true", rng=np.random.default_rng(5), rows_at_once=len(rows))
    assert_same(ours, brute_force(learner, rows.assign(label=labels)))


def test_the_true_fisher_of_the_heads_bias_is_the_sum_over_all_labels(tiny_config, tiny_model, rows) -> None:
    """sum_y p_y (p - onehot(y))^2, in the mean over rows; draws come to it."""
    learner = make_learner(tiny_config(model={"name": str(tiny_model), "tuning": "head", "dropout": 0.0}), rows)
    with torch.no_grad():
        learner.head.blocks[0].bias.copy_(torch.tensor([0.5, 0.0, -0.5]))
    exact = torch.zeros(3)
    for one in learner.encode(rows):
        ids = torch.tensor([one.input_ids])
        p = learner.logits(batch_of(ids))[0].softmax(-1).detach()
        exact += sum(p[y] * (p - torch.eye(3)[y]) ** 2 for y in range(3)) / len(rows)
    many, rng = pd.concat([rows] * 40, ignore_index=True), np.random.default_rng(0)
    drawn = [diagonal_fisher(learner, many, labels="true", rng=rng, rows_at_once=256) for _ in range(20)]
    found = [one["head.blocks.0.bias"] for one in drawn]
    assert torch.stack(found).mean(0).tolist() == pytest.approx(exact.tolist(), rel=0.05)
    given = diagonal_fisher(learner, rows, labels="empirical", rng=rng)["head.blocks.0.bias"]
    assert given.tolist() != pytest.approx(exact.tolist(), rel=0.1)


def test_the_true_fisher_of_a_sure_model_is_small(tiny_config, rows) -> None:
    """Labels drawn from a model that is sure of wrong answers agree with it, so their gradients vanish."""
    learner = make_learner(tiny_config(), rows)
    with torch.no_grad():
        learner.head.blocks[0].bias[0] = 50.0
    true = diagonal_fisher(learner, rows, labels="true", rng=np.random.default_rng(0))
    empirical = diagonal_fisher(learner, rows, labels="empirical", rng=np.random.default_rng(0))
    assert sum(float(f.sum()) for f in true.values()) < 1e-6
    assert sum(float(f.sum()) for f in empirical.values()) > 1e-2
