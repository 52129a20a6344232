"""An interrupted training run goes on where it was: weights, optimiser, schedule, chance and scratch, as safetensors.

Epochs are the grain: within one, the order of rows and the dropout follow from the random state at its start.
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
from cl.training.strategies import Update

SECONDS = 30.0
"""A checkpoint is written at most so often: short runs cost less to repeat than to save."""


@dataclass
class TrainingProgress:
    """How far a run has come."""

    epochs: int = 0
    steps: int = 0
    learnt: int = 0
    recalled: int = 0
    losses: list[float] = field(default_factory=list)


@dataclass
class TrainingRun:
    """All that changes while a learner is trained."""

    learner: Learner
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    rng: np.random.Generator
    updates: list[Update]
    best: BestEpoch
    progress: TrainingProgress = field(default_factory=TrainingProgress)
    saved_at: float = field(default_factory=time.monotonic)


def save_checkpoint(run: TrainingRun, folder: Path) -> bool:
    """Write a run's state, whole or not at all; return False when the last one is too young to be replaced."""
    from safetensors.torch import save_file

    if time.monotonic() - run.saved_at < SECONDS:
        return False
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    save_file(_tensors(run), fresh / "tensors.safetensors")
    described = {
        "progress": vars(run.progress),
        "best": {key: getattr(run.best, key) for key in ("epoch", "score", "loss", "latest")},
        "schedule": {k: v for k, v in run.schedule.state_dict().items() if k != "lr_lambdas"},
        "rates": [group["lr"] for group in run.optimiser.param_groups],
        "rng": run.rng.bit_generator.state,
    }
    (fresh / "run.json").write_text(json.dumps(described), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    run.saved_at = time.monotonic()
    return True


def restore_checkpoint(run: TrainingRun, folder: Path) -> bool:
    """Put a run back to where `save_checkpoint` saw it; return False when there is nothing to go on from."""
    from safetensors.torch import load_file

    if not (folder / "run.json").exists():
        return False
    described: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / "tensors.safetensors")
    with torch.no_grad():
        for name, parameter in run.learner.parameters():
            parameter.copy_(tensors[f"weights/{name}"])
    run.best.weights = {name: tensors[f"best/{name}"].to(run.learner.device) for name, _ in run.learner.parameters()}
    for key, value in described["best"].items():
        setattr(run.best, key, value)
    _restore_optimiser(run, tensors, described["rates"])
    run.schedule.load_state_dict({**described["schedule"], "lr_lambdas": [None] * len(described["rates"])})
    for key, value in described["progress"].items():
        setattr(run.progress, key, value)
    for at, update in enumerate(run.updates):
        prefix = f"scratch/{at}/"
        update.scratch.update({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    run.rng.bit_generator.state = described["rng"]
    torch.set_rng_state(tensors["chance/cpu"])
    if "chance/gpu" in tensors:
        torch.cuda.set_rng_state(tensors["chance/gpu"])
    return True


def _tensors(run: TrainingRun) -> dict[str, torch.Tensor]:
    found = {f"weights/{name}": p.detach() for name, p in run.learner.parameters()}
    found |= {f"best/{name}": tensor for name, tensor in run.best.weights.items()}
    for index, state in run.optimiser.state_dict()["state"].items():
        found |= {f"optimiser/{index}/{key}": value for key, value in state.items()}
    for at, update in enumerate(run.updates):
        found |= {f"scratch/{at}/{key}": value for key, value in update.scratch.items()}
    found["chance/cpu"] = torch.get_rng_state()
    if run.learner.device.type == "cuda":
        found["chance/gpu"] = torch.cuda.get_rng_state()
    return {key: value.detach().cpu().clone(memory_format=torch.contiguous_format) for key, value in found.items()}


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
    """Keeps a copy of the trainable weights at the best validation so far."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self.weights: dict[str, torch.Tensor] = {}
        self.epoch = 0
        self.score = -math.inf
        self.loss = math.inf
        self.latest = 0.0

    def offer(self, epoch: int, score: float, loss: float) -> None:
        """Take the weights if the loss is finite and the score is better, or as good with a lower loss."""
        self.latest = score
        if math.isfinite(loss) and (score, -loss) > (self.score, -self.loss):
            self.epoch, self.score, self.loss = epoch, score, loss
            self.weights = {name: p.detach().clone() for name, p in self._learner.parameters()}

    @torch.no_grad()
    def restore(self) -> None:
        """Put the best weights back."""
        for name, parameter in self._learner.parameters():
            parameter.copy_(self.weights[name])
        self._learner.eval_mode()
