"""Build a model from some layers of another."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel

from cl.errors import ConfigError
from cl.models.compatibility import bounded
from cl.models.pretrained import without_pooler
from cl.models.tunings import encoder_layers


def has_own_first_layer(encoder: PreTrainedModel) -> bool:
    """Return whether the first layer has other weights than those after it, as in T5 and ModernBERT."""
    layers = encoder_layers(encoder)
    return len(layers) > 1 and layers[0].state_dict().keys() != layers[1].state_dict().keys()


def drop_layers(encoder: PreTrainedModel, kept: list[int]) -> PreTrainedModel:
    """Return an encoder or language model of the kept layers, in their order, with the same weights.

    Of an encoder and decoder, these are layers of the encoder. It is built from a smaller configuration, so that a
    layer which knows its number knows the new one, and the saved version is built in the same way. Where layers share
    their weights (ALBERT), they are run less often.

    Raises:
        ConfigError: the family's configuration does not describe such an encoder.
    """
    refusal = f"distil.student.layers: {type(encoder).__name__} cannot be built with {len(kept)} layers"
    try:
        with torch.random.fork_rng():  # its first weights are random, and replaced
            smaller = without_pooler(type(encoder)(_describe(encoder, kept)))
    except Exception as error:  # each family checks its configuration in its own way
        raise ConfigError(f"{refusal}: {bounded(error)}; name a smaller model in distil.student.model") from None
    weights = renumber(encoder, kept, encoder.state_dict())
    if weights.keys() != smaller.state_dict().keys():
        raise ConfigError(f"{refusal}: its layers are not alike; name a smaller model in distil.student.model")
    smaller.load_state_dict(weights)
    if encoder.can_generate():
        smaller.generation_config = encoder.generation_config
    smaller.to(encoder.device)  # type: ignore[arg-type]
    smaller.train(encoder.training)
    return smaller


def _describe(encoder: PreTrainedModel, kept: list[int]) -> Any:
    """Return the configuration with the kept layers' part of every list that has an entry for each layer."""
    config = encoder.config
    values, depth = config.to_dict(), config.num_hidden_layers
    for name, value in values.items():
        if isinstance(value, list | tuple) and len(value) == depth and name != "architectures":
            values[name] = [value[index] for index in kept]
    values[config.attribute_map.get("num_hidden_layers", "num_hidden_layers")] = len(kept)
    smaller = type(config).from_dict(values)
    smaller._attn_implementation = config._attn_implementation
    return smaller


def renumber(encoder: PreTrainedModel, kept: list[int], weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights of an encoder without those of dropped layers; kept layers have their new numbers."""
    layers = encoder_layers(encoder)
    if len(layers) < encoder.config.num_hidden_layers:
        return weights
    stack = next(name for name, module in encoder.named_modules() if module is layers)
    renumbered: dict[str, torch.Tensor] = {}
    for name, tensor in weights.items():
        number, _, rest = name.removeprefix(f"{stack}.").partition(".")
        if not name.startswith(f"{stack}."):
            renumbered[name] = tensor
        elif int(number) in kept:
            renumbered[f"{stack}.{kept.index(int(number))}.{rest}"] = tensor
    return renumbered
