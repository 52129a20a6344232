"""Checkpoint a training run and resume it: weights, optimiser, schedule, random state and scratch, as safetensors.

A run resumes after any step. The random state at the start of the epoch gives the epoch's rows and batches once more;
the one after the step gives what is drawn from there on.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cl.models.learner import Learner
from cl.records.training import validation_rank
from cl.training.strategies import Update


@dataclass
class TrainingProgress:
    """How far a run has come, and in its present epoch: its steps, the rows in them and the sum of the rows' losses."""

    epochs: int = 0
    steps: int = 0
    learnt: int = 0
    recalled: int = 0
    losses: list[float] = field(default_factory=list)
    validation_scores: list[float | None] = field(default_factory=list)
    epoch_steps: int = 0
    epoch_rows: int = 0
    epoch_loss: float = 0.0


@dataclass
class TrainingRun:
    """Everything that changes while a learner is trained.

    ``epoch_start`` is the random state with which the present epoch began; ``resumed`` the one of the step after which
    a run goes on within an epoch.
    """

    learner: Learner
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    rng: np.random.Generator
    updates: list[Update]
    best: BestEpoch
    progress: TrainingProgress = field(default_factory=TrainingProgress)
    saved_at: float = field(default_factory=time.monotonic)
    epoch_start: dict[str, Any] = field(default_factory=dict)
    resumed: dict[str, Any] | None = None

    def begin_epoch(self) -> None:
        """Remember the random state."""
        self.epoch_start = dict(self.rng.bit_generator.state)

    def go_on(self) -> None:
        """Restore the random state of the step after which the run goes on, once the epoch's batches are drawn."""
        if self.resumed is not None:
            self.rng.bit_generator.state, self.resumed = self.resumed, None


def save_checkpoint(run: TrainingRun, folder: Path, *, seconds: float) -> bool:
    """Write a run's state atomically; return False if the last checkpoint is less than so many seconds old."""
    from safetensors.torch import save_file

    if time.monotonic() - run.saved_at < seconds:
        return False
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    save_file(_collect_tensors(run), fresh / "tensors.safetensors")
    description = {
        "progress": vars(run.progress),
        "best": {key: getattr(run.best, key) for key in ("epoch", "score", "loss", "latest")},
        "schedule": {k: v for k, v in run.schedule.state_dict().items() if k != "lr_lambdas"},
        "rates": [group["lr"] for group in run.optimiser.param_groups],
        "rng": run.rng.bit_generator.state,
        "epoch_start": run.epoch_start,
    }
    (fresh / "run.json").write_text(json.dumps(description), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    run.saved_at = time.monotonic()
    return True


def restore_checkpoint(run: TrainingRun, folder: Path) -> bool:
    """Restore a run from what `save_checkpoint` wrote; return False if there is no checkpoint."""
    from safetensors.torch import load_file

    if not (folder / "run.json").exists():
        return False
    description: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / "tensors.safetensors")
    with torch.no_grad():
        for name, parameter in run.learner.parameters():
            parameter.copy_(tensors[f"weights/{name}"])
    best = {key.removeprefix("best/"): tensor for key, tensor in tensors.items() if key.startswith("best/")}
    run.best.weights = {name: tensor.to(run.learner.device) for name, tensor in best.items()}
    for key, value in description["best"].items():
        setattr(run.best, key, value)
    _restore_optimiser(run, tensors, description["rates"])
    run.schedule.load_state_dict({**description["schedule"], "lr_lambdas": [None] * len(description["rates"])})
    for key, value in description["progress"].items():
        setattr(run.progress, key, value)
    for index, update in enumerate(run.updates):
        prefix = f"scratch/{index}/"
        update.scratch.update({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    run.rng.bit_generator.state = description["rng"]
    if run.progress.epoch_steps:
        run.rng.bit_generator.state, run.resumed = description["epoch_start"], description["rng"]
    torch.set_rng_state(tensors["chance/cpu"])
    if "chance/gpu" in tensors:
        torch.cuda.set_rng_state(tensors["chance/gpu"])
    return True


def _collect_tensors(run: TrainingRun) -> dict[str, torch.Tensor]:
    tensors = {f"weights/{name}": p.detach() for name, p in run.learner.parameters()}
    tensors |= {f"best/{name}": tensor for name, tensor in run.best.weights.items()}
    for index, state in run.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{index}/{key}": value for key, value in state.items()}
    for index, update in enumerate(run.updates):
        tensors |= {f"scratch/{index}/{key}": value for key, value in update.scratch.items()}
    tensors["chance/cpu"] = torch.get_rng_state()
    if run.learner.device.type == "cuda":
        tensors["chance/gpu"] = torch.cuda.get_rng_state()
    return {key: value.detach().cpu().clone(memory_format=torch.contiguous_format) for key, value in tensors.items()}


def _restore_optimiser(run: TrainingRun, tensors: dict[str, torch.Tensor], rates: list[float]) -> None:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimiser/"):
            _, index, name = key.split("/")
            state.setdefault(int(index), {})[name] = value
    groups = run.optimiser.state_dict()["param_groups"]
    for group, rate in zip(groups, rates, strict=True):
        group["lr"] = rate
    run.optimiser.load_state_dict({"state": state, "param_groups": groups})


class BestEpoch:
    """Keep a copy of the trainable weights with the best validation score so far."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self.weights: dict[str, torch.Tensor] = {}
        self.epoch = 0
        self.score: float | None = -math.inf
        self.loss = math.inf
        self.latest: float | None = None

    def offer(self, epoch: int, score: float | None, loss: float) -> None:
        """Copy the weights if the loss is finite and the score is higher, or equal with a lower loss."""
        self.latest = score
        if math.isfinite(loss) and (validation_rank(score), -loss) > (validation_rank(self.score), -self.loss):
            self.epoch, self.score, self.loss = epoch, score, loss
            self.weights = {name: p.detach().clone() for name, p in self._learner.parameters()}

    @torch.no_grad()
    def restore(self) -> None:
        """Restore the best weights."""
        for name, parameter in self._learner.parameters():
            parameter.copy_(self.weights[name])
        self._learner.eval_mode()
