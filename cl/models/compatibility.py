"""Fit any encoder and its tokenizer to what a learner needs, or refuse them in one line.

Families differ in what they pad with, how many positions they have, and what their states look like. All that a learner
asks of them is here: rows are padded on the right, and only real tokens are attended to and pooled, also where each
token sees only those before it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from cl.errors import ConfigError
from cl.models.learner import Learner
from cl.models.pooling import DECODER, ENCODER, Reading
from cl.plugins import Capability

SAMPLE = 100
"""Of a tokenizer's own tokens, as a text that it must read something of."""
PROBE = ([2, 3, 2, 3, 2], [3, 2, 3])
"""Two rows of tokens that every vocabulary has, of different lengths."""


def fit_pair(name: str, encoder: PreTrainedModel, tokenizer: Tokenizer, *, split_words: bool) -> None:
    """Fit an encoder and its tokenizer to each other, in place: padding, the side that is cut, no cache of states.

    Args:
        name: of the model, for errors.
        encoder: without head.
        tokenizer: gets a token to pad with if it has none.
        split_words: rows are split into words, and each piece must be traced to its word.

    Raises:
        ConfigError: they do not fit, such as a tokenizer with more tokens than the encoder has embeddings.
    """
    if not all(isinstance(getattr(encoder.config, size, None), int) for size in ("hidden_size", "num_hidden_layers")):
        raise ConfigError(
            f"model.name '{name}': {type(encoder).__name__} is not one stack of layers over text: name a text model"
        )
    if split_words and not getattr(tokenizer, "is_fast", False):
        raise ConfigError(
            f"model.name '{name}': its tokenizer cannot say which word a piece belongs to, which tags of words need: "
            "name a model with a fast tokenizer (a tokenizer.json)"
        )
    if is_causal(encoder):
        encoder.config.use_cache = False  # a cache of keys and values serves only the writing of text
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    _check_vocabulary(name, encoder, tokenizer)


def is_causal(encoder: PreTrainedModel) -> bool:
    """Return whether an encoder is of a family that writes text: each token sees only those before it."""
    return type(encoder.config) in MODEL_FOR_CAUSAL_LM_MAPPING and type(encoder.config) not in (
        MODEL_FOR_MASKED_LM_MAPPING
    )


def find_reading(learner: Learner) -> Reading:
    """Return where a model is read: a decoder at the last token and at the last piece of a word, others elsewhere.

    Its family and its attention decide: some families can attend in both directions.
    """
    reading = DECODER if is_causal(learner.encoder) and _sees_only_before(learner) else ENCODER
    pooling = learner.settings.pooling
    return reading if pooling == "auto" else replace(reading, pooling=pooling)


def check_reading(learner: Learner) -> None:
    """Check that a learner's settings go together with how it is read.

    Raises:
        ConfigError: they ask for another pooling, or its last token would see only a part of a text.
    """
    settings, pooling = learner.settings, learner.reading.pooling
    if settings.pooling not in ("auto", pooling):
        raise ConfigError(
            f"model.pooling '{settings.pooling}': the champion's head reads the {pooling} state: set it to {pooling} "
            "or auto, or start again with strategy {name: joint, restart: true}"
        )
    if settings.windows and pooling == "last" and Capability.TOKENS not in learner.task.provides:
        raise ConfigError(
            f"model.windows: {settings.name} is read at a text's last token, which sees only the last window: set "
            "model.pooling to mean, or model.windows to null"
        )


@torch.no_grad()
def _sees_only_before(learner: Learner) -> bool:
    """Return whether another last token leaves the states of the tokens before it as they are."""
    learner.eval_mode()
    mask = torch.ones(1, 4, dtype=torch.long, device=learner.device)
    with torch.random.fork_rng():
        before, after = (
            learner.states(torch.tensor([[2, 3, 2, last]], device=learner.device), mask, layers=1)[-1][:, :-1].float()
            for last in (3, 2)
        )
    return bool((before - after).abs().max() <= 1e-5 * before.abs().max())


def max_positions(encoder: PreTrainedModel) -> int | None:
    """Return how many tokens an encoder can read; None if it has no such bound.

    Where the positions of a text begin after the id of the padding (RoBERTa, MPNet, Longformer), the first rows of
    the table are not for texts.
    """
    tables = [
        module
        for name, module in encoder.named_modules()
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding)
    ]
    offset = [table.num_embeddings - table.padding_idx - 1 for table in tables if table.padding_idx is not None]
    declared = getattr(encoder.config, "max_position_embeddings", None)
    return min(offset, default=declared if declared and declared > 0 else None)  # XLNet declares -1


def check_states(learner: Learner) -> None:
    """Check that a learner's encoder gives the states of every layer for a padded batch.

    Raises:
        ConfigError: it does not; the message names the model, its tuning and the reason.
    """
    try:
        reason = _run_probe(learner)
    except MemoryError:
        raise
    except Exception as error:  # each architecture fails in its own way
        reason = bounded(error)
    if reason:
        tuning = learner.tuning
        remedy = "name another model" if not tuning.adds_modules else f"model.tuning full instead of '{tuning.name}'"
        raise ConfigError(
            f"model.name '{learner.settings.name}': {type(learner.encoder).__name__} gives no states that a head can "
            f"read: {reason}; use a text encoder such as BERT, RoBERTa or ModernBERT, or {remedy}"
        )


def bounded(error: Exception) -> str:
    """Return the first line of an error, readable and of bounded length."""
    lines = str(error).strip().splitlines() or [""]
    return textwrap.shorten(f"{type(error).__name__}: {lines[0]}", 300, placeholder=" ...")


def _run_probe(learner: Learner) -> str | None:
    """Return what is wrong with the states of two rows, or None."""
    ids = torch.full((len(PROBE), len(PROBE[0])), learner.tokenizer.pad_token_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(PROBE):
        ids[row, : len(tokens)], mask[row, : len(tokens)] = torch.tensor(tokens), 1
    ids, mask = ids.to(learner.device), mask.to(learner.device)
    learner.eval_mode()
    with torch.no_grad(), torch.random.fork_rng():
        states = learner.states(ids, mask, layers=learner.depth)
    expected = (*ids.shape, learner.width)
    if len(states) != learner.depth or any(layer.shape != expected for layer in states):
        shapes = ", ".join(sorted({str(tuple(layer.shape)) for layer in states}))
        return f"{learner.depth} layers of shape {expected} were expected, not {len(states)} of {shapes}"
    return None if all(layer[mask.bool()].isfinite().all() for layer in states) else "they are not finite"


def _check_vocabulary(name: str, encoder: PreTrainedModel, tokenizer: Tokenizer) -> None:
    """Set a token to pad with, unless there is one, and check that the encoder has an embedding for every token."""
    size, ids = getattr(encoder.get_input_embeddings(), "num_embeddings", None), tokenizer.get_vocab()
    if not isinstance(size, int):
        raise ConfigError(
            f"model.name '{name}': {type(encoder).__name__} has no embeddings of tokens: name a text model"
        )
    sample = " ".join([token for token in ids if token not in tokenizer.all_special_tokens][:SAMPLE])
    if not tokenizer(sample, add_special_tokens=False)["input_ids"]:  # transformers makes an empty one without a word
        raise ConfigError(
            f"model.name '{name}': its tokenizer leaves nothing of any text: put the tokenizer's files next to the "
            "weights, such as tokenizer.json and tokenizer_config.json"
        )
    if tokenizer.pad_token is None or ids.get(str(tokenizer.pad_token), size) >= size:
        unusable = tokenizer.pad_token
        tokenizer.pad_token = _choose_padding(name, encoder.config, tokenizer, size)
        ids.pop(str(unusable), None)
    if len(ids) and max(ids.values()) >= size:
        raise ConfigError(
            f"model.name '{name}': its tokenizer has {max(ids.values()) + 1} tokens and its encoder only {size} "
            "embeddings: name a model with its own tokenizer"
        )


def _choose_padding(name: str, config: Any, tokenizer: Tokenizer, size: int) -> str:
    """Return the token to pad with: the one that the encoder names, else one that ends or replaces text.

    Padding is masked, so that its token is never read; an encoder may skip its positions by its id.
    """
    token_of = {id: token for token, id in tokenizer.get_vocab().items() if id < size}
    for id in _candidates(config, tokenizer):
        if id in token_of:
            return token_of[id]
    raise ConfigError(
        f"model.name '{name}': its tokenizer has no token to pad with: set pad_token in its tokenizer_config.json"
    )


def _candidates(config: Any, tokenizer: Tokenizer) -> Iterator[int | None]:
    named = getattr(config, "pad_token_id", None)
    yield named if isinstance(named, int) else None
    for kind in ("eos", "unk", "sep", "bos", "cls"):
        yield getattr(tokenizer, f"{kind}_token_id", None)
