"""Gradients of single rows, many rows at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pandas as pd
import torch
from torch import nn

from cl.training.batching import by_length, collate
from cl.training.learner import Learner

ROWS_AT_ONCE = 16
Objective = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Measure = Callable[[torch.Tensor], torch.Tensor]


def mean_over_rows(
    learner: Learner,
    rows: pd.DataFrame,
    *,
    objective: Objective,
    measure: Measure,
    rows_at_once: int = ROWS_AT_ONCE,
) -> dict[str, torch.Tensor]:
    """Return, for each trainable parameter, the mean over rows of a measure of its gradient, dropout off.

    A measure of the gradient of a batch's mean instead would shrink with the batch size. The gradients of single
    rows come from the inputs and output gradients of the linear and norm layers in one backward pass (Goodfellow,
    2015, "Efficient per-example gradient computations"); rows are processed one by one when another kind of layer
    has trainable parameters.

    Args:
        learner: knows which of its parameters may move.
        rows: with the task's columns.
        objective: takes a batch's logits and targets, returns a sum of one term for each row.
        measure: taken of every entry of a row's gradient, such as ``torch.square``.
        rows_at_once: rows in a batch.
    """
    learner.eval_mode()
    encoded = learner.encode(rows)
    totals = {name: torch.zeros_like(parameter) for name, parameter in learner.parameters()}
    per_row = _Recorder(learner, measure)
    at_once = rows_at_once if per_row.covers_all else 1
    for indices in by_length([len(one.input_ids) for one in encoded], at_once):
        batch = collate(learner.task, encoded, indices, learner.tokenizer.pad_token_id, learner.device)
        learner.encoder.zero_grad(set_to_none=True)
        learner.head.zero_grad(set_to_none=True)
        with per_row.recording() if per_row.covers_all else contextlib.nullcontext():
            objective(learner.logits(batch.input_ids, batch.mask).float(), batch.targets).backward()
        for name, parameter in learner.parameters():
            totals[name] += per_row.total(name) if per_row.covers_all else _measured(parameter, measure)
    learner.encoder.zero_grad(set_to_none=True)
    learner.head.zero_grad(set_to_none=True)
    return {name: total / max(1, len(rows)) for name, total in totals.items()}


def _measured(parameter: nn.Parameter, measure: Measure) -> torch.Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else measure(parameter.grad)


class _Recorder:
    """Watches the layers with trainable parameters and measures the row gradients of what passes through them."""

    def __init__(self, learner: Learner, measure: Measure) -> None:
        trainable = {id(parameter) for _, parameter in learner.parameters()}
        modules = [
            (f"{part}.{name}", module)
            for part, root in (("encoder", learner.encoder), ("head", learner.head))
            for name, module in root.named_modules()
            if any(id(parameter) in trainable for parameter in module.parameters(recurse=False))
        ]
        self.covers_all = all(isinstance(module, nn.Linear | nn.LayerNorm) for _, module in modules)
        self._modules = modules
        self._measure = measure
        self._measured: dict[str, torch.Tensor] = {}

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Collect during one forward and backward pass."""
        self._measured = {}
        hooks = [module.register_forward_hook(self._watch(name)) for name, module in self._modules]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def total(self, parameter: str) -> torch.Tensor:
        """Return the sum over the batch's rows of the measured gradient of a parameter."""
        return self._measured[parameter]

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
        self._measured[f"{name}.weight"] = self._measure(weight).sum(0)
        if module.bias is not None:
            self._measured[f"{name}.bias"] = self._measure(gradient.sum(1)).sum(0)
