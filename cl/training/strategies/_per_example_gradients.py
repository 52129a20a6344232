"""Compute per-row gradients for a batch of rows in one backward pass."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pandas as pd
import torch
from torch import nn
from torch.func import functional_call
from transformers.pytorch_utils import Conv1D

from cl.models.kernels import fast_kernels
from cl.models.learner import Learner
from cl.models.weights import relative, row_weights
from cl.tasks import Encoded

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
    degree: int = 1,
    rows_at_once: int = ROWS_AT_ONCE,
) -> dict[str, torch.Tensor]:
    """Return, for each trainable parameter, the mean over rows of a measure of its gradient, without dropout.

    Where rows have weights, it is the weighted mean.

    The measure of a batch's mean gradient would shrink with the batch size. Per-row gradients are computed in one
    backward pass from the inputs and output gradients of the linear, norm and embedding layers (Goodfellow, 2015,
    "Efficient per-example gradient computations"). Rows are processed individually when another kind of layer has
    trainable parameters, or when a layer does not process each row separately, such as the relative positions of
    MPNet and DeBERTa, and where rows are read in windows.

    Args:
        learner: marks its trainable parameters.
        rows: with the task's columns.
        objective: takes a batch's logits and targets, returns a sum with one term per row.
        add: adds the measure of one row's gradient to a total: `add_square`, `add_absolute`.
        degree: the power of the gradient that the measure is: 2 for squares.
        rows_at_once: rows in a batch.
    """
    learner.eval_mode()
    encoded, weights = learner.encode(rows), relative(row_weights(rows))
    factors = None if weights is None else weights ** (1 / degree)
    totals = {name: torch.zeros_like(parameter) for name, parameter in learner.parameters()}
    layers = _TrainableLayers(learner)
    whole = all(len(row.input_ids) <= learner.settings.max_length for row in encoded)  # others are several windows
    batched = rows_at_once > 1 and len(rows) > 1 and whole and layers.keep_rows_apart(encoded[0])
    for batch in learner.batches(encoded, rows_at_once if batched else 1):
        recorded = layers.record(len(batch.rows)) if batched else contextlib.nullcontext()
        with recorded, fast_kernels(learner.device):
            value = objective(learner.logits(batch).float(), batch.targets)
        own = None if factors is None else torch.tensor(factors[batch.rows], device=learner.device).float()
        if batched:
            layers.add_rows(value, totals, add, own)
        else:
            _add_single_row(learner, value if own is None else value * own[0], totals, add)
    return {name: total / max(1, len(rows)) for name, total in totals.items()}


def _add_single_row(learner: Learner, value: torch.Tensor, totals: dict[str, torch.Tensor], add: Add) -> None:
    """Add the gradient of a batch of one row."""
    parameters = list(learner.parameters())
    gradients = torch.autograd.grad(value, [parameter for _, parameter in parameters], allow_unused=True)
    for (name, _), gradient in zip(parameters, gradients, strict=True):
        if gradient is not None:
            add(totals[name], gradient)


SUPPORTED_LAYERS = (nn.Linear, Conv1D, nn.LayerNorm, nn.Embedding)


def _is_rms_norm(module: nn.Module) -> bool:
    """Return whether a layer is a norm without a mean (Zhang and Sennrich, 2019), of which each family has its own."""
    parameters = dict(module.named_parameters())
    return "RMSNorm" in type(module).__name__ and parameters.keys() == {"weight"} and parameters["weight"].ndim == 1


def _normed(module: nn.Module, weight: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Return what a norm multiplies with its weight: what it returns more for a weight of one than for one of zero.

    Some families multiply with the weight, others with one more than it.
    """
    ones: torch.Tensor = functional_call(module, {"weight": torch.ones_like(weight)}, inputs)
    zeros: torch.Tensor = functional_call(module, {"weight": torch.zeros_like(weight)}, inputs)
    return ones - zeros


class _TrainableLayers:
    """The layers with trainable parameters, and their inputs and outputs in one forward pass."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._trainable = {id(parameter) for _, parameter in learner.parameters()}
        self._modules = {
            f"{part}.{name}": module
            for part, root in (("encoder", learner.encoder), ("head", learner.head))
            for name, module in root.named_modules()
            if any(id(parameter) in self._trainable for parameter in module.parameters(recurse=False))
        }
        self._records: list[tuple[str, torch.Tensor, torch.Tensor]] = []

    def keep_rows_apart(self, row: Encoded) -> bool:
        """Return whether every layer is of a supported kind and processes each row separately.

        Tries batches of two and of three copies of a row, so that no other axis can be mistaken for the rows.
        """
        owned = [id(weight) for module in self._modules.values() for weight in module.parameters(recurse=False)]
        # exact types, because a subclass may change its input
        supported = all(type(module) in SUPPORTED_LAYERS or _is_rms_norm(module) for module in self._modules.values())
        return supported and len(set(owned)) == len(owned) and all(self._keeps_apart(row, copies) for copies in (2, 3))

    def _keeps_apart(self, row: Encoded, rows: int) -> bool:
        (batch,) = self._learner.batches([row] * rows, None)
        try:
            with self.record(rows), fast_kernels(self._learner.device):
                logits = self._learner.logits(batch)
        except RuntimeError:  # the model itself repeats for each row what `record` has repeated: peft's prompts
            return False
        records, self._records = self._records, []
        tensors = [logits, *(states for _, inputs, outputs in records for states in (inputs, outputs))]
        return all(len(tensor) == rows for tensor in tensors) and not self._is_bypassed(
            {name for name, *_ in records}, logits
        )

    def _is_bypassed(self, called: set[str], logits: torch.Tensor) -> bool:
        """Return whether the logits depend on a layer that was not called: its weights are used elsewhere."""
        idle = [module for name, module in self._modules.items() if name not in called]
        weights = [
            weight for module in idle for weight in module.parameters(recurse=False) if id(weight) in self._trainable
        ]
        if not weights:
            return False
        gradients = torch.autograd.grad(logits.sum(), weights, allow_unused=True)
        return any(gradient is not None for gradient in gradients)

    @contextlib.contextmanager
    def record(self, rows: int) -> Iterator[None]:
        """Record each layer's inputs and outputs in one forward pass of this many rows.

        The input of an embedding that is called once for all rows, such as that of positions, is repeated for each row.
        """
        self._records = []
        hooks = [
            module.register_forward_pre_hook(
                lambda module, inputs: (inputs[0].expand(rows, -1), *inputs[1:]) if len(inputs[0]) == 1 else None
            )
            for module in self._modules.values()
            if isinstance(module, nn.Embedding)
        ]
        hooks += [
            module.register_forward_hook(
                lambda module, inputs, output, name=name: self._records.append((name, inputs[0].detach(), output))
            )
            for name, module in self._modules.items()
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def add_rows(
        self, value: torch.Tensor, totals: dict[str, torch.Tensor], add: Add, factors: torch.Tensor | None
    ) -> None:
        """Add each row's gradient, times its factor, to the totals without computing their sum over rows."""
        gradients = torch.autograd.grad(value, [output for _, _, output in self._records], allow_unused=True)
        calls: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        for (name, inputs, _), gradient in zip(self._records, gradients, strict=True):
            if gradient is None:  # such as a pooler's, which no logit depends on
                continue
            is_embedding = isinstance(self._modules[name], nn.Embedding)
            rows = inputs[..., None] if is_embedding else _with_positions(inputs.float())
            gradient = gradient.float()
            scaled = gradient if factors is None else gradient * factors.view(-1, *[1] * (gradient.ndim - 1))
            calls.setdefault(name, []).append((rows, _with_positions(scaled)))
        for name, parts in calls.items():  # a layer that is called twice still has one gradient per row
            inputs, outputs = (torch.cat(tensors, dim=1) for tensors in zip(*parts, strict=True))
            self._add_layer(name, inputs, outputs, totals, add)
        self._records = []

    def _add_layer(
        self, name: str, inputs: torch.Tensor, outputs: torch.Tensor, totals: dict[str, torch.Tensor], add: Add
    ) -> None:
        """Add the per-row gradients of one layer; inputs and output gradients are (rows, positions, width)."""
        module = self._modules[name]
        if isinstance(module, nn.Embedding):
            _add_embedding(module, inputs.squeeze(-1), outputs, totals[f"{name}.weight"], add)
            return
        if id(module.weight) in self._trainable:
            total = totals[f"{name}.weight"]
            if isinstance(module, nn.LayerNorm):
                normed = nn.functional.layer_norm(inputs, module.normalized_shape, eps=module.eps)
                _add_vectors(total, (outputs * normed).sum(1), add)
            elif _is_rms_norm(module):
                _add_vectors(total, (outputs * _normed(module, module.weight, inputs)).sum(1), add)
            else:  # one row's matrix fits the processor's cache while it is measured, those of a batch would not
                workspace = torch.empty_like(total)
                for row, gradient in zip(inputs, outputs, strict=True):
                    left, right = (row, gradient) if isinstance(module, Conv1D) else (gradient, row)
                    add(total, torch.mm(left.T, right, out=workspace))
        if getattr(module, "bias", None) is not None and id(module.bias) in self._trainable:
            _add_vectors(totals[f"{name}.bias"], outputs.sum(1), add)


def _add_embedding(
    module: nn.Embedding, ids: torch.Tensor, gradients: torch.Tensor, total: torch.Tensor, add: Add
) -> None:
    """Add the per-row gradients of an embedding: for each id in a row, the sum over its positions."""
    keys = torch.arange(len(ids), device=ids.device)[:, None] * module.num_embeddings + ids
    distinct, inverse = keys.flatten().unique(return_inverse=True)
    sums = gradients.new_zeros(len(distinct), gradients.shape[-1]).index_add_(0, inverse, gradients.flatten(0, 1))
    measured = torch.zeros_like(sums)
    add(measured, sums)
    tokens = distinct % module.num_embeddings
    if module.padding_idx is not None:  # torch never trains it
        measured[tokens == module.padding_idx] = 0
    total.index_add_(0, tokens, measured)


def _add_vectors(total: torch.Tensor, rows: torch.Tensor, add: Add) -> None:
    """Add per-row gradients (rows, width) that are small enough to be measured together."""
    measured = torch.zeros_like(rows)
    add(measured, rows)
    total.add_(measured.sum(0))


def _with_positions(states: torch.Tensor) -> torch.Tensor:
    """Return states as (rows, positions, width); a layer with one position per row lacks that axis."""
    return states.flatten(1, -2) if states.ndim > 2 else states[:, None]
