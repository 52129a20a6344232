"""Gradients of single rows, many rows at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pandas as pd
import torch
from torch import nn

from cl.training.batching import by_length, collate
from cl.training.learner import Learner
from cl.training.precision import attention

ROWS_AT_ONCE = 32
Objective = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Add = Callable[[torch.Tensor, torch.Tensor], object]


def add_square(total: torch.Tensor, gradient: torch.Tensor) -> None:
    """Add a row's squared gradient to a total, in place."""
    total.addcmul_(gradient, gradient)


def add_absolute(total: torch.Tensor, gradient: torch.Tensor) -> None:
    """Add a row's absolute gradient to a total, in place; the gradient itself is overwritten."""
    total.add_(gradient.abs_())


def mean_over_rows(
    learner: Learner,
    rows: pd.DataFrame,
    *,
    objective: Objective,
    add: Add,
    rows_at_once: int = ROWS_AT_ONCE,
) -> dict[str, torch.Tensor]:
    """Return, for each trainable parameter, the mean over rows of a measure of its gradient, dropout off.

    A measure of the gradient of a batch's mean instead would shrink with the batch size. The gradients of single
    rows come from the inputs and output gradients of the linear, norm and embedding layers in one backward pass
    (Goodfellow, 2015, "Efficient per-example gradient computations"); rows are processed one by one when another kind
    of layer has trainable parameters.

    Args:
        learner: knows which of its parameters may move.
        rows: with the task's columns.
        objective: takes a batch's logits and targets, returns a sum of one term for each row.
        add: adds the measure of one row's gradient to a total: `add_square`, `add_absolute`.
        rows_at_once: rows in a batch.
    """
    learner.eval_mode()
    encoded = learner.encode(rows)
    totals = {name: torch.zeros_like(parameter) for name, parameter in learner.parameters()}
    layers = _Layers(learner)
    for indices in by_length([len(one.input_ids) for one in encoded], rows_at_once if layers.cover_all else 1):
        batch = collate(learner.task, encoded, indices, learner.tokenizer.pad_token_id, learner.device)
        with layers.watched(len(indices)), attention(batch.input_ids.shape[1], learner.device):
            value = objective(learner.logits(batch.input_ids, batch.mask).float(), batch.targets)
        if layers.cover_all:
            layers.add_rows(value, totals, add)
        else:
            _add_one(learner, value, totals, add)
    return {name: total / max(1, len(rows)) for name, total in totals.items()}


def _add_one(learner: Learner, value: torch.Tensor, totals: dict[str, torch.Tensor], add: Add) -> None:
    """Add the gradient of a batch that is a single row."""
    named = list(learner.parameters())
    gradients = torch.autograd.grad(value, [parameter for _, parameter in named], allow_unused=True)
    for (name, _), gradient in zip(named, gradients, strict=True):
        if gradient is not None:
            add(totals[name], gradient)


class _Layers:
    """The layers with trainable parameters, and what passed through them in one forward pass."""

    def __init__(self, learner: Learner) -> None:
        self._trainable = {id(parameter) for _, parameter in learner.parameters()}
        self._modules = {
            f"{part}.{name}": module
            for part, root in (("encoder", learner.encoder), ("head", learner.head))
            for name, module in root.named_modules()
            if any(id(parameter) in self._trainable for parameter in module.parameters(recurse=False))
        }
        kinds = nn.Linear | nn.LayerNorm | nn.Embedding
        self.cover_all = all(isinstance(module, kinds) for module in self._modules.values())
        self._passed: list[tuple[str, torch.Tensor, torch.Tensor]] = []

    @contextlib.contextmanager
    def watched(self, rows: int) -> Iterator[None]:
        """Note the inputs and outputs of one forward pass of so many rows.

        An embedding that all rows share, such as that of positions, is asked by each row for itself.
        """
        self._passed = []
        hooks = [
            module.register_forward_pre_hook(lambda module, inputs: (inputs[0].expand(rows, -1), *inputs[1:]))
            for module in self._modules.values()
            if isinstance(module, nn.Embedding)
        ]
        hooks += [
            module.register_forward_hook(
                lambda module, inputs, output, name=name: self._passed.append((name, inputs[0].detach(), output))
            )
            for name, module in self._modules.items()
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def add_rows(self, value: torch.Tensor, totals: dict[str, torch.Tensor], add: Add) -> None:
        """Add each row's gradient to the totals; weights' own gradients, summed over rows, are never computed."""
        gradients = torch.autograd.grad(value, [output for _, _, output in self._passed])
        seen: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        for (name, inputs, _), gradient in zip(self._passed, gradients, strict=True):
            ids = isinstance(self._modules[name], nn.Embedding)
            seen.setdefault(name, []).append((inputs[..., None] if ids else _by_row(inputs), _by_row(gradient)))
        for name, parts in seen.items():  # a layer that is passed twice has one gradient a row all the same
            inputs, outputs = (torch.cat(one, dim=1) for one in zip(*parts, strict=True))
            self._add_layer(name, inputs, outputs, totals, add)
        self._passed = []

    def _add_layer(
        self, name: str, inputs: torch.Tensor, outputs: torch.Tensor, totals: dict[str, torch.Tensor], add: Add
    ) -> None:
        """Add the rows of one layer: its inputs and output gradients are (rows, positions, width)."""
        module = self._modules[name]
        if isinstance(module, nn.Embedding):
            _add_embedding(module, inputs.squeeze(-1), outputs, totals[f"{name}.weight"], add)
            return
        if id(module.weight) in self._trainable:
            total = totals[f"{name}.weight"]
            if isinstance(module, nn.LayerNorm):
                normed = nn.functional.layer_norm(inputs, module.normalized_shape, eps=module.eps)
                _add_vectors(total, (outputs * normed).sum(1), add)
            else:  # one row's matrix stays in the cache while it is measured; a batch of them would not
                space = torch.empty_like(total)
                for seen, gradient in zip(inputs, outputs, strict=True):
                    add(total, torch.mm(gradient.T, seen, out=space))
        if module.bias is not None and id(module.bias) in self._trainable:
            _add_vectors(totals[f"{name}.bias"], outputs.sum(1), add)


def _add_embedding(
    module: nn.Embedding, ids: torch.Tensor, gradients: torch.Tensor, total: torch.Tensor, add: Add
) -> None:
    """Add the rows of an embedding: what each row's positions with the same id add up to, and nothing for the rest."""
    places = torch.arange(len(ids), device=ids.device)[:, None] * module.num_embeddings + ids
    distinct, where = places.flatten().unique(return_inverse=True)
    sums = gradients.new_zeros(len(distinct), gradients.shape[-1]).index_add_(0, where, gradients.flatten(0, 1))
    measured = torch.zeros_like(sums)
    add(measured, sums)
    own = distinct % module.num_embeddings
    if module.padding_idx is not None:  # torch never moves it
        measured[own == module.padding_idx] = 0
    total.index_add_(0, own, measured)


def _add_vectors(total: torch.Tensor, rows: torch.Tensor, add: Add) -> None:
    """Add vectors (rows, width), which are small enough to be measured together."""
    measured = torch.zeros_like(rows)
    add(measured, rows)
    total.add_(measured.sum(0))


def _by_row(states: torch.Tensor) -> torch.Tensor:
    """Return states as (rows, positions, width); a row of one position has lost that axis."""
    return states.flatten(1, -2) if states.ndim > 2 else states[:, None]
