"""LoRA: low-rank updates added to frozen weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from cl.models.tunings import Tuning, encoder_layers, find_parameters

if TYPE_CHECKING:
    import torch
    from torch import nn

ADAPTER, PAST = "default", "past"
"""What peft calls the matrices that are trained, and those that stay as they are while these are."""
QUERY_AND_VALUE = frozenset(
    {"query", "value", "query_proj", "value_proj", "q_proj", "v_proj", "q_lin", "v_lin", "q", "v", "Wqkv", "qkv_proj"}
)
"""What families call the layers that make queries and values."""
FEED_FORWARD = frozenset(
    {"gate_proj", "up_proj", "down_proj", "gate_up_proj", "fc1", "fc2", "fc_in", "fc_out", "c_fc", "wi", "wi_0", "wi_1"}
    | {"wo", "lin1", "lin2", "dense_h_to_4h", "dense_4h_to_h", "w1", "w2", "w3"}
)
"""What families call the layers between those of attention."""


class LoRA(Tuning):
    """Adds ``scale * B A`` of low rank to weight matrices (Hu et al., 2022), through the peft library.

    >>> from cl.testing import tiny_encoder
    >>> tuning = LoRA(rank=2)
    >>> sum(parameter.numel() for parameter in tuning.moving(tuning.attach(tiny_encoder())))
    128
    """

    adds_modules: ClassVar[bool] = True

    rank: int = Field(8, ge=1, description="Rank of each update")
    alpha: float = Field(16.0, gt=0, description="The update is scaled by alpha / rank")
    targets: list[str] | None = Field(
        None,
        description="Names of the layers to adapt; null: the MLP's of a language model, of any other "
        "peft's choice, else query and value",
    )
    rslora: bool = Field(
        False,
        description="Scale the update by alpha / sqrt(rank), so that a higher rank learns more (rsLoRA; Kalajdzievski, "
        "2023)",
    )
    dora: bool = Field(
        False,
        description="Train the length of each row of a weight matrix apart from its direction, which LoRA updates "
        "(DoRA; Liu et al., 2024, equation 5)",
    )
    learning_rate: float = Field(1e-3, gt=0, description="Peak rate of the added matrices")

    def rate(self, default: float) -> float:
        """Return the mode's own rate."""
        return self.learning_rate

    def attach(self, encoder: nn.Module) -> nn.Module:
        """Add the matrices in place; B starts at zero."""
        from peft import LoraConfig, inject_adapter_in_model

        targets = self.targets or _default_targets(encoder)
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]
            target_modules=targets,
            use_rslora=self.rslora,
            use_dora=self.dora,
        )
        return inject_adapter_in_model(config, encoder)

    def moving(self, encoder: nn.Module) -> list[nn.Parameter]:
        """Return every A and B, and the lengths of DoRA."""
        return find_parameters(encoder, "lora_")

    def merge(self, encoder: nn.Module) -> nn.Module:
        """Merge the updates into the weights, in place."""
        return merge_adapters(encoder)


def _default_targets(encoder: nn.Module) -> list[str] | None:
    """Return the layers to adapt; None: peft's choice.

    Of a model that writes, those of its MLP: they learn as much as queries and values and forget less
    (PEFT's comparison of methods on MetaMathQA). Of a family for which peft has no choice: queries and values, else
    all.
    """
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    from torch import nn

    if encoder.get_output_embeddings() is not None:  # type: ignore[operator]
        names = {name.rpartition(".")[2] for name, _ in encoder.named_modules()}
        if between := sorted(names & FEED_FORWARD):
            return between
    if getattr(encoder.config, "model_type", None) in TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING:
        return None
    linear = {
        name.rpartition(".")[2]
        for name, module in encoder_layers(encoder).named_modules()
        if isinstance(module, nn.Linear)
    }
    return sorted(linear & QUERY_AND_VALUE) or sorted(linear)


def matrices(encoder: nn.Module) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return ``scale * B`` (width out, rank) and A (rank, width in), by layer name."""
    return {
        name: (layer.scaling[ADAPTER] * layer.lora_B[ADAPTER].weight, layer.lora_A[ADAPTER].weight)
        for name, layer in _lora_layers(encoder)
    }


def rank_and_scale(encoder: nn.Module) -> tuple[int, float]:
    """Return the rank of the matrices and the factor of their product, the same in all layers."""
    _, layer = next(iter(_lora_layers(encoder)))
    return len(layer.lora_A[ADAPTER].weight), float(layer.scaling[ADAPTER])


def down_projections(encoder: nn.Module) -> dict[str, torch.Tensor]:
    """Return every A (rank, width in), by layer name."""
    return {name: layer.lora_A[ADAPTER].weight for name, layer in _lora_layers(encoder)}


def trained_layers(encoder: nn.Module) -> set[str]:
    """Return the names of the layers whose update is not zero."""
    return {name for name, layer in _lora_layers(encoder) if layer.lora_B[ADAPTER].weight.any()}


def set_matrices(encoder: nn.Module, updates: Mapping[str, tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Set what `matrices` returns of the named layers; their rank may be another than before, their scale stays.

    Of another rank, the parameters are new ones.
    """
    import torch
    from torch import nn

    for name, layer in _lora_layers(encoder):
        if name not in updates:
            continue
        scale, rank = layer.scaling[ADAPTER], len(updates[name][1])
        for matrix, value in zip((layer.lora_B, layer.lora_A), updates[name], strict=True):
            value = value / scale if matrix is layer.lora_B else value
            with torch.no_grad():
                if matrix[ADAPTER].weight.shape == value.shape:
                    matrix[ADAPTER].weight.copy_(value)
                    continue
            old = matrix[ADAPTER].weight
            new = nn.Linear(value.shape[1], value.shape[0], bias=False, device="meta")
            new.weight = nn.Parameter(value.detach().to(old).clone(), requires_grad=old.requires_grad)
            matrix[ADAPTER] = new
        layer.r[ADAPTER], layer.lora_alpha[ADAPTER] = rank, scale * rank


def take_ranks(encoder: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give layers the ranks of stored matrices, by the names of the parameters, before these are loaded."""
    for name, layer in _lora_layers(encoder):
        up, down = (tensors.get(f"{name}.lora_{part}.{ADAPTER}.weight") for part in "BA")
        if up is not None and down is not None and len(down) != layer.r[ADAPTER]:
            set_matrices(encoder, {name: (up, down)})


def set_aside(encoder: nn.Module, rank: int) -> None:
    """Let what the layers add stay as it is, under another name, and start new matrices: A random, B zero."""
    from torch import nn

    for _, layer in _lora_layers(encoder):
        for matrix in (layer.lora_A, layer.lora_B):
            matrix[PAST] = matrix[ADAPTER].requires_grad_(False)
        layer.scaling[PAST], layer.lora_dropout[PAST] = layer.scaling[ADAPTER], nn.Identity()
        layer._active_adapter = [ADAPTER, PAST]
        up, down = layer.lora_B[PAST].weight, layer.lora_A[PAST].weight
        for matrix, old, inside, outside in (
            (layer.lora_A, down, down.shape[1], rank),
            (layer.lora_B, up, rank, up.shape[0]),
        ):
            matrix[ADAPTER] = nn.Linear(inside, outside, bias=False, device=old.device, dtype=old.dtype)
        layer.r[ADAPTER] = rank
        layer.reset_lora_parameters(ADAPTER, True)


def join_aside(encoder: nn.Module, most: int) -> float | None:
    """Add up what was set aside and what was learned since, in one pair of matrices for each layer.

    Up to a rank of ``most``, they are put next to each other, which is exact; a higher rank is cut to the nearest
    update. Return which share of the squared length that lost, 0 to 1; None: nothing was cut.
    """
    from cl.models.factors import add_up, lost_share, padded, shorten, squared_length

    joined, before, cut = {}, {}, False
    for name, layer in _lora_layers(encoder):
        both = [
            (layer.scaling[own] * layer.lora_B[own].weight.detach(), layer.lora_A[own].weight.detach())
            for own in (PAST, ADAPTER)
        ]
        joined[name] = add_up(both)
        before[name] = squared_length(joined[name])
        if len(joined[name][1]) > most:
            (joined[name],), cut = padded([shorten(joined[name], most)], most), True
        for values in (layer.lora_A, layer.lora_B, layer.lora_dropout, layer.scaling):
            del values[PAST]
        layer._active_adapter = [ADAPTER]
    set_matrices(encoder, joined)
    return lost_share(before, joined) if cut else None


def fold(encoder: nn.Module) -> None:
    """Merge the updates into their base weights and start new ones: A random, B zero."""
    import torch

    for _, layer in _lora_layers(encoder):
        with torch.no_grad():
            layer.get_base_layer().weight += layer.get_delta_weight(ADAPTER)
        layer.reset_lora_parameters(ADAPTER, True)


def _lora_layers(encoder: nn.Module) -> Iterator[tuple[str, Any]]:
    from peft.tuners.lora import LoraLayer

    return ((name, module) for name, module in encoder.named_modules() if isinstance(module, LoraLayer))


def merge_adapters(encoder: nn.Module) -> nn.Module:
    """Merge the layers that peft has injected into their base layers, in place."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    injected = [(name, module) for name, module in encoder.named_modules() if isinstance(module, BaseTunerLayer)]
    for name, module in injected:
        module.merge()
        parent, _, child = name.rpartition(".")
        setattr(encoder.get_submodule(parent), child, module.get_base_layer())
    return encoder
