"""The diagonal of the Fisher information: squared gradients of single rows, many rows at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import nn

from cl.tasks import IGNORED
from cl.training.batching import by_length, collate
from cl.training.learner import Learner

ROWS_AT_ONCE = 16


def diagonal_fisher(
    learner: Learner,
    rows: pd.DataFrame,
    *,
    labels: Literal["empirical", "true"],
    rng: np.random.Generator,
    rows_at_once: int = ROWS_AT_ONCE,
) -> dict[str, torch.Tensor]:
    """Return, for each trainable parameter, the mean over rows of its squared gradient.

    The gradient is that of one row's negative log-likelihood, summed over its predictions; squaring the gradient of a
    batch's mean instead would shrink with the batch size. Labels are those given (empirical Fisher) or drawn from
    the model (the Fisher information itself; Kunstner et al., 2019, section 2). Padding has no part in it.

    The gradients of single rows come from the inputs and output gradients of the linear and norm layers in one
    backward pass (Goodfellow, 2015, "Efficient per-example gradient computations"); rows are processed one by
    one when another kind of layer has trainable parameters.
    """
    learner.eval_mode()
    encoded = learner.encode(rows)
    totals = {name: torch.zeros_like(parameter) for name, parameter in learner.parameters()}
    generator = torch.Generator(device=learner.device).manual_seed(int(rng.integers(2**31)))
    per_row = _Recorder(learner)
    at_once = rows_at_once if per_row.covers_all else 1
    for indices in by_length([len(one.input_ids) for one in encoded], at_once):
        batch = collate(learner.task, encoded, indices, learner.tokenizer.pad_token_id, learner.device)
        learner.encoder.zero_grad(set_to_none=True)
        learner.head.zero_grad(set_to_none=True)
        with per_row.recording() if per_row.covers_all else contextlib.nullcontext():
            logits = learner.logits(batch.input_ids, batch.mask).float()
            targets = batch.targets if labels == "empirical" else _drawn(logits, batch.targets, generator)
            nn.functional.cross_entropy(
                logits.flatten(0, -2), targets.flatten(), ignore_index=IGNORED, reduction="sum"
            ).backward()
        for name, parameter in learner.parameters():
            totals[name] += per_row.squares(name) if per_row.covers_all else _squared(parameter)
    learner.encoder.zero_grad(set_to_none=True)
    learner.head.zero_grad(set_to_none=True)
    return {name: total / max(1, len(rows)) for name, total in totals.items()}


def _drawn(logits: torch.Tensor, targets: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    drawn = torch.multinomial(logits.detach().softmax(-1).flatten(0, -2), 1, generator=generator)
    return torch.where(targets == IGNORED, targets, drawn.view_as(targets))


def _squared(parameter: nn.Parameter) -> torch.Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.square()


class _Recorder:
    """Watches the layers with trainable parameters and turns what passes through them into squared row gradients."""

    def __init__(self, learner: Learner) -> None:
        trainable = {id(parameter) for _, parameter in learner.parameters()}
        modules = [
            (f"{part}.{name}", module)
            for part, root in (("encoder", learner.encoder), ("head", learner.head))
            for name, module in root.named_modules()
            if any(id(parameter) in trainable for parameter in module.parameters(recurse=False))
        ]
        self.covers_all = all(isinstance(module, nn.Linear | nn.LayerNorm) for _, module in modules)
        self._modules = modules
        self._squares: dict[str, torch.Tensor] = {}

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Collect during one forward and backward pass."""
        self._squares = {}
        hooks = [module.register_forward_hook(self._watch(name)) for name, module in self._modules]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def squares(self, parameter: str) -> torch.Tensor:
        """Return the sum over the batch's rows of the squared gradient of a parameter."""
        return self._squares[parameter]

    def _watch(self, name: str):  # type: ignore[no-untyped-def]
        def forward(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            seen = inputs[0].detach()

            def backward(gradient: torch.Tensor) -> None:
                self._add(name, module, seen, gradient)

            output.register_hook(backward)

        return forward

    def _add(self, name: str, module: nn.Module, seen: torch.Tensor, gradient: torch.Tensor) -> None:
        seen, gradient = (
            seen.flatten(1, -2) if seen.ndim > 2 else seen[:, None],
            (gradient.flatten(1, -2) if gradient.ndim > 2 else gradient[:, None]),
        )
        if isinstance(module, nn.Linear):
            weight = torch.bmm(gradient.transpose(1, 2), seen)
        else:
            assert isinstance(module, nn.LayerNorm)
            normed = nn.functional.layer_norm(seen, module.normalized_shape, eps=module.eps)
            weight = (gradient * normed).sum(1)
        self._squares[f"{name}.weight"] = weight.square().sum(0)
        if module.bias is not None:
            self._squares[f"{name}.bias"] = gradient.sum(1).square().sum(0)
