"""A run that is killed within an epoch goes on after its last step, and ends with the weights of an unbroken run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cl.config import Config
from cl.training import loop
from cl.training.optimiser import step_clipped as step_clipped_of_the_loop
from cl.training.train import train
from tests.support.task_rows import config_of, rows_of, task_of
from tests.support.versions import assert_same_version


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def killed_before(monkeypatch) -> Callable[[int, Callable[[], Any]], None]:
    """Run something that ends before it takes the step of this number, in which a batch has been read."""

    def run(step: int, learn: Callable[[], Any]) -> None:
        steps = iter(range(1, step + 1))

        def step_clipped(*args: Any) -> None:
            if next(steps) == step:
                raise Killed
            own(*args)

        own = step_clipped_of_the_loop
        with monkeypatch.context() as patch:
            patch.setattr(loop, "step_clipped", step_clipped)
            with pytest.raises(Killed):
                learn()

    return run


def configured(tiny_model: Path, task: str, strategy: object, **training: object) -> Config:
    config = config_of(tiny_model, task)
    raw = config.model_dump(mode="json", by_alias=True)
    raw["strategy"] = strategy
    raw["model"]["dropout"] = 0.1 if task != "text_generation" else 0.0
    raw["training"] |= {"epochs": 3, "patience": 3, "batch_size": 4, "checkpoint_seconds": 0, **training}
    return Config.model_validate(raw)


RUNS = [
    ("text_generation", "naive", {}),
    ("text_generation", ["replay", "kl"], {}),
    ("text_generation", ["replay", "kl"], {"accumulate": 2, "batch_tokens": 40}),
    ("text_generation", [{"name": "averaging", "every": 2}, "n_lora"], {}),
    ("text_generation", ["replay", "kl", "o_lora"], {}),
    ("text_generation", ["replay", "ewc"], {"schedule": "cosine", "recompute": True}),
    ("text_classification", ["replay", "lwf"], {}),
    ("text_classification", ["a_gem", "si"], {"schedule": "warmup_stable_decay"}),
    ("text_classification", "replay", {"augment": {"share": 0.8, "word_dropout": 0.3}}),
]


@pytest.mark.parametrize("step", [2, 5])
@pytest.mark.parametrize(("task", "strategy", "training"), RUNS)
def test_killed_within_an_epoch_it_ends_as_if_never_stopped(
    task, strategy, training, step, tiny_model, tmp_path, killed_before
) -> None:
    config, rows = configured(tiny_model, task, strategy, **training), rows_of(task_of(task))
    train(config, champion=None, new=["one"], past=[], rows_of=rows, folder=tmp_path / "first")
    common = {"champion": tmp_path / "first", "new": ["two"], "past": ["one"], "rows_of": rows}
    whole = train(config, **common, folder=tmp_path / "whole")
    killed_before(step, lambda: train(config, **common, folder=tmp_path / "cut"))
    progress = json.loads((tmp_path / "cut.checkpoint" / "run.json").read_text())["progress"]
    assert progress["steps"] == step - 1 and whole.steps > step
    torch.manual_seed(99)
    cut = train(config, **common, folder=tmp_path / "cut")
    assert cut.losses == whole.losses and cut.steps == whole.steps and cut.rows_learnt == whole.rows_learnt
    assert_same_version(tmp_path / "whole", tmp_path / "cut")


def test_a_run_may_be_killed_more_than_once(tiny_model, tmp_path, killed_before) -> None:
    config, rows = configured(tiny_model, "text_generation", "naive"), rows_of(task_of("text_generation"))
    common = {"champion": None, "new": ["one"], "past": [], "rows_of": rows}
    whole = train(config, **common, folder=tmp_path / "whole")
    for _ in range(2):
        killed_before(2, lambda: train(config, **common, folder=tmp_path / "cut"))
    assert train(config, **common, folder=tmp_path / "cut").losses == whole.losses
    assert_same_version(tmp_path / "whole", tmp_path / "cut")


def test_no_checkpoint_is_written_before_the_time_between_two_has_passed(tiny_model, tmp_path, killed_before) -> None:
    config = configured(tiny_model, "text_generation", "naive", checkpoint_seconds=3_600)
    common = {"champion": None, "new": ["one"], "past": [], "rows_of": rows_of(task_of("text_generation"))}
    killed_before(3, lambda: train(config, **common, folder=tmp_path / "cut"))
    assert not (tmp_path / "cut.checkpoint").exists()
