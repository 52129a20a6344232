"""Gradients of single rows, many rows at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pandas as pd
import torch
from torch import nn

from cl.models.batching import batch_by_length, collate
from cl.models.learner import Learner
from cl.models.precision import attention

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
    (Goodfellow, 2015, "Efficient per-example gradient computations"). Rows are processed one by one when another kind
    of layer has trainable parameters, or when a layer sees something else than the rows, each by itself, as relative
    positions do in MPNet and DeBERTa.

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
    together = rows_at_once > 1 and len(rows) > 1 and layers.keep_rows_apart(encoded[0].input_ids)
    for indices in batch_by_length([len(one.input_ids) for one in encoded], rows_at_once if together else 1):
        batch = collate(learner.task, encoded, indices, learner.tokenizer.pad_token_id, learner.device)
        watched = layers.watched(len(indices)) if together else contextlib.nullcontext()
        with watched, attention(batch.input_ids.shape[1], learner.device):
            value = objective(learner.logits(batch.input_ids, batch.mask).float(), batch.targets)
        if together:
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


KINDS = (nn.Linear, nn.LayerNorm, nn.Embedding)


class _Layers:
    """The layers with trainable parameters, and what passed through them in one forward pass."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._trainable = {id(parameter) for _, parameter in learner.parameters()}
        self._modules = {
            f"{part}.{name}": module
            for part, root in (("encoder", learner.encoder), ("head", learner.head))
            for name, module in root.named_modules()
            if any(id(parameter) in self._trainable for parameter in module.parameters(recurse=False))
        }
        self._passed: list[tuple[str, torch.Tensor, torch.Tensor]] = []

    def keep_rows_apart(self, tokens: list[int]) -> bool:
        """Tell whether each layer is one we have a rule for and works on each row by itself.

        Batches of two and of three copies of a row are tried: of two sizes, no other axis can pass for the rows.
        """
        owned = [id(one) for module in self._modules.values() for one in module.parameters(recurse=False)]
        known = all(type(module) in KINDS for module in self._modules.values())  # a subclass may read its input anew
        return known and len(set(owned)) == len(owned) and all(self._apart(tokens, rows) for rows in (2, 3))

    def _apart(self, tokens: list[int], rows: int) -> bool:
        ids = torch.tensor([tokens] * rows, device=self._learner.device)
        try:
            with self.watched(rows), attention(len(tokens), self._learner.device):
                logits = self._learner.logits(ids, torch.ones_like(ids))
        except RuntimeError:  # the model repeats for each row what `watched` has repeated: peft's prompts
            return False
        passed, self._passed = self._passed, []
        seen = [states for _, inputs, outputs in passed for states in (inputs, outputs)]
        return all(len(one) == rows for one in [logits, *seen]) and not self._bypassed(
            {name for name, *_ in passed}, logits
        )

    def _bypassed(self, passed: set[str], logits: torch.Tensor) -> bool:
        """Tell whether a layer that nothing passed through has a part in the logits: its weights are used elsewhere."""
        idle = [module for name, module in self._modules.items() if name not in passed]
        weights = [one for module in idle for one in module.parameters(recurse=False) if id(one) in self._trainable]
        if not weights:
            return False
        return any(one is not None for one in torch.autograd.grad(logits.sum(), weights, allow_unused=True))

    @contextlib.contextmanager
    def watched(self, rows: int) -> Iterator[None]:
        """Note the inputs and outputs of one forward pass of so many rows.

        An embedding that is asked once for all rows, such as that of positions, is asked by each row for itself.
        """
        self._passed = []
        hooks = [
            module.register_forward_pre_hook(
                lambda module, inputs: (inputs[0].expand(rows, -1), *inputs[1:]) if len(inputs[0]) == 1 else None
            )
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
        gradients = torch.autograd.grad(value, [output for _, _, output in self._passed], allow_unused=True)
        seen: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        for (name, inputs, _), gradient in zip(self._passed, gradients, strict=True):
            if gradient is None:  # such as a pooler's, which no logit depends on
                continue
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
