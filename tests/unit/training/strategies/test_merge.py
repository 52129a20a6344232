from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import torch

from cl.config import parse
from cl.errors import ConfigError
from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.models.inference import score_rows
from cl.models.persistence import load_learner
from cl.models.tunings.lora import matrices, set_matrices
from cl.training.strategies import State, Update
from cl.training.strategies._merging import merge_dare, merge_linear, merge_magmax, merge_ties
from cl.training.strategies.merge import Merge
from cl.training.train import train
from tests.support.task_rows import config_of, rows_of, task_of

OURS = torch.tensor([[4.0, -1.0, 2.0], [0.5, 3.0, -6.0]])
THEIRS = torch.tensor([[-2.0, -3.0, 4.0], [0.1, 5.0, 1.0]])
LORA = {"name": "lora", "rank": 2, "alpha": 4.0, "learning_rate": 0.05}


def test_linear_by_hand() -> None:
    merged = merge_linear([OURS, THEIRS], [0.25, 0.75])
    torch.testing.assert_close(merged, torch.tensor([[-0.5, -2.5, 3.5], [0.2, 4.5, -0.75]]))


def test_ties_by_hand() -> None:
    """Half of six entries: of ours 4, 3 and -6 are left, of theirs -3, 4 and 5; both have the last of the middle."""
    merged = merge_ties([OURS, THEIRS], [1.0, 1.0], density=0.5)
    torch.testing.assert_close(merged, torch.tensor([[4.0, -3.0, 4.0], [0.0, 4.0, -6.0]]))


def test_ties_elects_the_sign_with_more_weight_and_leaves_the_others_out() -> None:
    merged = merge_ties([OURS, THEIRS], [1.0, 1.0], density=1.0)
    # 4 - 2 is positive: 4 alone counts; 0.5 and 0.1 agree; -6 + 1 is negative: -6 alone
    torch.testing.assert_close(merged, torch.tensor([[4.0, -2.0, 3.0], [0.3, 4.0, -6.0]]))
    merged = merge_ties([OURS, THEIRS], [0.1, 0.9], density=1.0)
    # 0.4 - 1.8 is negative: -2 alone; -0.6 + 0.9 is positive: 1 alone; the others are means of 1 to 9
    torch.testing.assert_close(merged, torch.tensor([[-2.0, -2.8, 3.8], [0.14, 4.8, 1.0]]))


def test_magmax_by_hand() -> None:
    merged = merge_magmax([OURS, THEIRS], [0.5, 0.5])
    assert merged.tolist() == [[4.0, -3.0, 4.0], [0.5, 5.0, -6.0]]
    # times 0.2 and 0.8, ours are 0.8, 0.2, 0.4, 0.1, 0.6, 1.2 in size, theirs 1.6, 2.4, 3.2, 0.08, 4, 0.8
    assert merge_magmax([OURS, THEIRS], [0.2, 0.8]).tolist() == [[-2.0, -3.0, 4.0], [0.5, 5.0, -6.0]]


def test_dare_keeps_entries_as_drawn_and_rescales_them() -> None:
    generator = torch.Generator().manual_seed(3)
    masks = [torch.rand(2, 3, generator=generator) < 0.5 for _ in range(2)]
    merged = merge_dare([OURS, THEIRS], [0.5, 2.0], density=0.5, generator=torch.Generator().manual_seed(3))
    assert any(mask.any() and not mask.all() for mask in masks)
    torch.testing.assert_close(merged, 0.5 * 2 * OURS * masks[0] + 2.0 * 2 * THEIRS * masks[1])


def test_dare_expects_what_linear_gives() -> None:
    generator = torch.Generator().manual_seed(0)
    runs = [merge_dare([OURS, THEIRS], [0.5, 0.5], density=0.5, generator=generator) for _ in range(4_000)]
    torch.testing.assert_close(torch.stack(runs).mean(0), (OURS + THEIRS) / 2, atol=0.25, rtol=0)


@pytest.fixture
def pair(tiny_config, tiny_model, update_of, sentences):
    """An update of a champion whose head has two labels; LoRA of rank 2 in the layers of a tiny encoder."""
    torch.manual_seed(0)
    model = {"name": str(tiny_model), "tuning": LORA, "dropout": 0.0}
    learner = grow_labels(new_learner(tiny_config(model=model, strategy="merge")), ["loan", "fee"], seed=1)
    freeze_all_but_tuned(learner)
    plain = update_of(learner, sentences(["loan", "fee"], 4))
    return Update(State(), replace(plain.lesson, known=2), learner)


def set_corner(learner, matrix: list[list[float]]) -> None:
    """Let LoRA add a 2x2 matrix to the corner of every layer's weights, and nothing else."""
    updates = {}
    for name, (up, down) in matrices(learner.encoder).items():
        left, right = torch.zeros_like(up), torch.zeros_like(down)
        left[:2, :2], right[0, 0], right[1, 1] = torch.tensor(matrix), 1.0, 1.0
        updates[name] = left, right
    set_matrices(learner.encoder, updates)


def added(learner) -> torch.Tensor:
    """What LoRA adds to the first layer."""
    up, down = next(iter(matrices(learner.encoder).values()))
    return (up @ down).detach()


def best_share(monkeypatch, wanted: int) -> None:
    """Let validation say that this candidate is best, counted from the challenger."""
    tried = iter(range(1_000))
    monkeypatch.setattr("cl.models.inference.score_rows", lambda *_: (float(next(tried) == wanted), 1.0))


@pytest.mark.parametrize(
    ("method", "corner"),
    [
        ("linear", [[0.5, -1.0], [3.0, 2.0]]),
        ("ties", [[4.0, 0.0], [4.0, 4.0]]),
        ("magmax", [[4.0, -2.0], [4.0, 4.0]]),
    ],
)
def test_products_are_merged_in_every_layer_and_the_head_is_averaged(pair, monkeypatch, method, corner) -> None:
    """Averages of A and B apart would be others; ties keeps the two largest entries of each update."""
    learner, size = pair.learner, added(pair.learner).numel()
    strategy = Merge(method=method, steps=2, density=2 / size)
    set_corner(learner, [[-3.0, 0.0], [2.0, 4.0]])
    strategy.begin(pair)
    set_corner(learner, [[4.0, -2.0], [4.0, 0.0]])
    head = dict(learner.head.named_parameters())["blocks.0.bias"]
    with torch.no_grad():
        head += 4.0
    trained = head.detach().clone()
    best_share(monkeypatch, 1)
    strategy.end(pair)
    expected = torch.tensor(corner)
    for up, down in matrices(learner.encoder).values():
        assert down.shape[0] == 2
        torch.testing.assert_close((up @ down)[:2, :2], expected, atol=1e-5, rtol=1e-5)
        assert (up @ down).square().sum().item() == pytest.approx(expected.square().sum().item(), rel=1e-5)
    torch.testing.assert_close(head.detach(), trained - 2.0)


@pytest.mark.parametrize("method", ["linear", "ties", "dare", "magmax"])
@pytest.mark.parametrize(("wanted", "left"), [(0, "challenger"), (4, "champion")])
def test_the_ends_of_the_line_are_champion_and_challenger_to_the_bit(pair, monkeypatch, method, wanted, left) -> None:
    kept = {}
    for who in ("champion", "challenger"):
        with torch.no_grad():
            for _, parameter in pair.learner.parameters():
                parameter += torch.randn_like(parameter)
        kept[who] = {name: parameter.detach().clone() for name, parameter in pair.learner.parameters()}
        if who == "champion":
            Merge(method=method).begin(pair)
    best_share(monkeypatch, wanted)
    Merge(method=method, steps=4).end(pair)
    assert all(torch.equal(parameter, kept[left][name]) for name, parameter in pair.learner.parameters())


def test_what_the_rank_loses_is_logged(pair, monkeypatch, caplog) -> None:
    """Champion and challenger have two directions each, four in all: of lengths 4, 3, 2 and 1, times a half."""
    learner = pair.learner
    for corner, rows in ((4.0, 2.0), (3.0, 1.0)):
        updates = {}
        for name, (up, down) in matrices(learner.encoder).items():
            left, right = torch.zeros_like(up), torch.zeros_like(down)
            first = 0 if corner == 4.0 else 2
            left[first, 0], left[first + 1, 1] = corner, rows
            right[0, first], right[1, first + 1] = 1.0, 1.0
            updates[name] = left, right
        set_matrices(learner.encoder, updates)
        if corner == 4.0:
            Merge().begin(pair)
    best_share(monkeypatch, 1)
    with caplog.at_level(logging.INFO, logger="cl.training.strategies.merge"):
        Merge(method="linear", steps=2).end(pair)
    assert "weight 0.50 of the new adapter, 16.7 % of the merged update lost to its rank" in caplog.text  # 5 of 30
    torch.testing.assert_close(added(learner)[:4, :4].diagonal(), torch.tensor([2.0, 0.0, 1.5, 0.0]))


def test_earlier_adapters_are_merged_as_they_were_trained(pair, monkeypatch) -> None:
    learner, strategy = pair.learner, Merge(method="magmax", steps=2, earlier=2)
    set_corner(learner, [[0.0, 1.0], [0.0, 0.0]])
    strategy.begin(pair)
    set_corner(learner, [[0.0, 0.0], [9.0, 0.0]])
    best_share(monkeypatch, 2)  # the champion is left: what was trained is in no version
    state = strategy.end(pair)
    second = replace(pair, state=state, scratch={})
    strategy.begin(second)
    set_corner(learner, [[5.0, 0.0], [0.0, 0.0]])
    best_share(monkeypatch, 1)
    after = strategy.end(second)
    torch.testing.assert_close(added(learner)[:2, :2], torch.tensor([[5.0, 1.0], [9.0, 0.0]]), atol=1e-4, rtol=1e-4)
    layers = len(matrices(learner.encoder))
    assert len(after.tensors) == 2 * 2 * layers and len(state.tensors) == 2 * layers


def test_the_champion_does_not_count_twice_if_it_is_the_last_adapter_that_was_trained(pair, monkeypatch) -> None:
    learner, strategy, merged = pair.learner, Merge(method="linear", steps=4, earlier=1), []
    set_corner(learner, [[8.0, 0.0], [0.0, 8.0]])
    first = strategy.end(replace(pair, lesson=replace(pair.lesson, known=0)))
    assert first.tensors
    for state in (first, State()):
        set_corner(learner, [[8.0, 0.0], [0.0, 8.0]])
        second = replace(pair, state=state, scratch={})
        strategy.begin(second)
        set_corner(learner, [[4.0, 0.0], [0.0, 4.0]])
        best_share(monkeypatch, 3)
        strategy.end(second)
        merged.append(added(learner)[0, 0].item())
    assert merged == pytest.approx([7.0, 7.0])


def test_a_first_experience_has_nothing_to_merge_with(pair) -> None:
    first = replace(pair, lesson=replace(pair.lesson, known=0))
    Merge().begin(first)
    before = {name: parameter.detach().clone() for name, parameter in pair.learner.parameters()}
    assert Merge().end(first) == State() and not first.scratch
    assert all(torch.equal(parameter, before[name]) for name, parameter in pair.learner.parameters())


@pytest.mark.parametrize("method", ["linear", "ties", "dare", "magmax"])
def test_a_language_model_is_merged_where_validation_says_so(tiny_model, tmp_path, caplog, method) -> None:
    """Of all merges the best is left, so it is no worse than without; and the same again from the same seed."""
    rows, training = rows_of(task_of("text_generation")), {"epochs": 6, "patience": 6, "batch_size": 4}
    validation, scores = rows(["one", "two"], "validation"), {}
    merge = {"name": "merge", "method": method, "density": 0.5}
    alone, merged = ["replay", "kl"], ["replay", "kl", merge]
    for name, strategy in (("without", alone), ("with", merged), ("again", merged)):
        config = config_of(
            tiny_model,
            "text_generation",
            strategy=strategy,
            model={"tuning": LORA},
            training=training | {"precision": "float32"},
        )
        folder = tmp_path / name
        train(config, champion=None, new=["one"], past=[], rows_of=rows, folder=folder / "1")
        with caplog.at_level(logging.INFO, logger="cl.training.strategies.merge"):
            train(config, champion=folder / "1", new=["two"], past=["one"], rows_of=rows, folder=folder / "2")
        scores[name] = score_rows(load_learner(folder / "2"), validation)
    assert f"merge: {method}, weight" in caplog.text
    assert scores["with"][0] >= scores["without"][0]
    assert scores["with"] == scores["again"]


@pytest.mark.parametrize(
    ("strategy", "tuning", "why"),
    [
        ("merge", "full", "merge: it merges what LoRA adds to the weights and needs model.tuning: lora"),
        ("merge", {"name": "lora", "dora": True}, "dora: true"),
        (["merge", "averaging"], "lora", "it factors LoRA's matrices again, but 'averaging' holds or sets them"),
        (["merge", "ewc"], "lora", "but 'ewc' holds or sets"),
        (["merge", "si"], "lora", "but 'si' holds or sets"),
        (["merge", "mas"], "lora", "but 'mas' holds or sets"),
        (["merge", "o_lora"], "lora", "o_lora"),
        (["merge", "gdumb"], "lora", "it holds on to the champion's weights, but 'gdumb' starts every update"),
    ],
)
def test_what_it_cannot_be_combined_with_is_refused(strategy, tuning, why) -> None:
    with pytest.raises(ConfigError, match=why):
        parse({"strategy": strategy, "model": {"tuning": tuning}}, where="test")


def test_it_can_be_combined_with_what_holds_answers_rows_or_how_much_changes() -> None:
    for others in (["replay"], ["lwf"], ["replay", "n_lora"], ["der"], ["a_gem"]):
        parse({"strategy": [*others, "merge"], "model": {"tuning": "lora"}}, where="test")
