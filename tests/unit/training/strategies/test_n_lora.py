from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cl.config import parse
from cl.errors import ConfigError
from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.models.persistence import load_learner
from cl.models.tunings.lora import matrices
from cl.training.strategies import State
from cl.training.strategies.n_lora import NLoRA
from cl.training.train import train
from tests.support.task_rows import config_of, rows_of, task_of

LORA = {"name": "lora", "rank": 2, "alpha": 4.0, "learning_rate": 0.02}


@pytest.fixture
def learner(tiny_config, tiny_model):
    torch.manual_seed(0)
    model = {"name": str(tiny_model), "tuning": LORA, "dropout": 0.0}
    learner = grow_labels(new_learner(tiny_config(model=model, strategy="n_lora")), ["loan", "fee"], seed=1)
    freeze_all_but_tuned(learner)
    return learner


def set_matrices(learner, up: list[list[float]], down: list[list[float]]) -> torch.nn.Parameter:
    """Set the corners of the matrices of the first layer, and all others to zero; return B of that layer."""
    named = dict(learner.encoder.named_parameters())
    first = next(name for name in named if "lora_A" in name)
    with torch.no_grad():
        for name, parameter in named.items():
            if "lora_" in name:
                parameter.zero_()
        named[first][:, :2] = torch.tensor(down)
        named[first.replace("lora_A", "lora_B")][:2] = torch.tensor(up)
    return named[first.replace("lora_A", "lora_B")]


def test_the_penalty_by_hand(learner, update_of, sentences) -> None:
    update = update_of(learner, sentences(["loan"], 2))
    set_matrices(learner, [[1.0, 0.0], [0.0, 1.0]], [[1.0, 2.0], [0.0, -1.0]])
    NLoRA().begin(update)
    assert NLoRA().penalty(update, None).item() == 0.0
    matrix = set_matrices(learner, [[1.0, 0.0], [0.0, 3.0]], [[1.0, 2.5], [0.0, -1.0]])
    penalty = NLoRA(strength=0.1).penalty(update, None)
    # alpha / rank is 2; B A was [[1, 2], [0, -1]] and is [[1, 2.5], [0, -3]]
    assert penalty.item() == pytest.approx(0.1 * 2 * (0.5 + 2.0))
    penalty.backward()
    # by the last entry of B: 0.1 * 2 * sign(-2) * -1
    assert matrix.grad[1, 1].item() == pytest.approx(0.2)


def test_an_update_changes_weights_less_the_stronger_it_is(tiny_model, tmp_path) -> None:
    rows, changes = rows_of(task_of("text_generation")), []
    for strength in (1e-9, 1.0):
        strategy = {"name": "n_lora", "strength": strength}
        training = {"epochs": 8, "patience": 8, "batch_size": 4, "precision": "float32"}
        config = config_of(tiny_model, "text_generation", strategy=strategy, model={"tuning": LORA}, training=training)
        folder = tmp_path / str(strength)
        train(config, champion=None, new=["one"], past=[], rows_of=rows, folder=folder / "1")
        train(config, champion=folder / "1", new=["two"], past=["one"], rows_of=rows, folder=folder / "2")
        before, after = (matrices(load_learner(folder / name).encoder) for name in ("1", "2"))
        moved = [(up @ down - before[name][0] @ before[name][1]).abs().sum() for name, (up, down) in after.items()]
        changes.append(float(torch.stack(moved).sum().detach()))
    assert 0 < changes[1] < changes[0] / 5


def test_the_update_counts_from_where_it_starts(learner, update_of, sentences) -> None:
    update = update_of(learner, sentences(["loan"], 2))
    strategy = NLoRA()
    for corner in (1.0, 5.0):
        set_matrices(learner, [[corner, 0.0], [0.0, 1.0]], [[1.0, 2.0], [0.0, -1.0]])
        later = replace(update, scratch={})
        strategy.begin(later)
        assert strategy.penalty(later, None).item() == 0.0
    assert strategy.end(update) == State()


@pytest.mark.parametrize(
    ("tuning", "why"), [("full", "needs model.tuning: lora"), ({"name": "lora", "dora": True}, "has dora: true")]
)
@pytest.mark.parametrize("strategy", ["n_lora", "o_lora"])
def test_what_is_no_plain_lora_is_refused(strategy, tuning, why) -> None:
    with pytest.raises(ConfigError, match=why):
        parse({"strategy": strategy, "model": {"tuning": tuning}}, where="test")
