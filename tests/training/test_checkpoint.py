from __future__ import annotations

import pandas as pd
import pytest
import torch

from cl.train import train
from cl.training import checkpoint as checkpoints
from cl.training.learner import load_learner
from cl.training.version import load_states

SETTINGS = {"epochs": 6, "batch_size": 8, "learning_rate": 1e-3, "precision": "float32", "patience": 6}


class Killed(Exception):
    """Stands for the end of the process."""


def stop_after(monkeypatch, epochs: int) -> None:
    from cl.training import loop

    saved = []

    def save(run, folder, **given):
        checkpoints.save_checkpoint(run, folder, every=0.0)
        saved.append(run.progress.epochs)
        if len(saved) == epochs:
            raise Killed

    monkeypatch.setattr(loop, "save_checkpoint", save)


@pytest.mark.parametrize(
    "strategy",
    [
        "naive",
        ["replay", {"name": "ewc", "strength": 10}],
        {"name": "der", "rows": 16},
        ["a_gem", "si"],
        ["lwf", "averaging"],
        {"name": "gdumb", "rows": 30},
        "o_lora",
    ],
)
def test_going_on_gives_the_weights_of_never_having_stopped(
    strategy, tiny_config, sentences, tmp_path, monkeypatch, tiny_model
) -> None:
    tuning = "lora" if strategy == "o_lora" else "full"
    # dropout: torch's random state has to be restored as well
    model = {"name": str(tiny_model), "dropout": 0.1, "tuning": tuning}
    config = tiny_config(strategy=strategy, training=SETTINGS, model=model)
    parts = {"a": ["loan", "fee"], "b": ["box", "lamp"]}

    def rows_of(ids, split):
        seed = 0 if split == "train" else 1
        return pd.concat([sentences(parts[one], 24, seed=seed, prefix=one) for one in ids], ignore_index=True)

    train(config, champion=None, new=["a"], past=[], rows_of=rows_of, folder=tmp_path / "first")
    common = {"champion": tmp_path / "first", "new": ["b"], "past": ["a"], "rows_of": rows_of}
    whole = train(config, **common, folder=tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(Killed):
            train(config, **common, folder=tmp_path / "cut")
    assert (tmp_path / "cut.checkpoint" / "run.json").exists()
    torch.manual_seed(99)
    cut = train(config, **common, folder=tmp_path / "cut")
    assert cut.losses == whole.losses and cut.steps == whole.steps
    one, other = (load_learner(tmp_path / name) for name in ("whole", "cut"))
    for name, tensor in one.encoder.state_dict().items():
        assert torch.equal(tensor, other.encoder.state_dict()[name]), name
    first, second = load_states(tmp_path / "whole"), load_states(tmp_path / "cut")
    for name, state in first.items():
        assert (state.rows is None) or state.rows.equals(second[name].rows)
        assert all(torch.equal(tensor, second[name].tensors[key]) for key, tensor in state.tensors.items())
    assert not (tmp_path / "cut.checkpoint").exists()
