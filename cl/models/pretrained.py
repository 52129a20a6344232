"""Load pretrained models from the Hugging Face hub, a local folder or the packaged MiniLM; safetensors only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForTextEncoding,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING

from cl.errors import ConfigError
from cl.models.compatibility import bounded, fit_pair
from cl.models.locate import PACKAGED as PACKAGED
from cl.models.locate import local_file, locate_model
from cl.process.progress import stage


def load_pretrained(
    name: str, *, split_words: bool, dtype: str = "float32"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load an encoder and its tokenizer, fitted to each other.

    Args:
        name: as configured.
        split_words: rows are split into words before the tokenizer sees them.
        dtype: as for `load_encoder`.

    Raises:
        ConfigError: one of them cannot be loaded, or they do not fit.
    """
    encoder, tokenizer = load_encoder(name, dtype), load_tokenizer(name, split_words=split_words)
    fit_pair(name, encoder, tokenizer, split_words=split_words)
    return encoder, tokenizer


def load_encoder(name: str, dtype: str = "float32") -> PreTrainedModel:
    """Load an encoder without head and pooler; of an encoder and decoder such as T5, the encoder.

    Args:
        name: as configured.
        dtype: of its weights; ``auto``: that of the checkpoint.

    Raises:
        ConfigError: the model cannot be reached, has no safetensors, or its encoder cannot be loaded alone.
    """
    source = locate_model(name)
    missing = local_file(name, "config.json") is None and not Path(source).exists()
    try:
        with without_warnings(), stage(f"download {name}") if missing else contextlib.nullcontext():
            config = AutoConfig.from_pretrained(source)
            kind = encoder_class(config)
            if kind is AutoModel and getattr(config, "is_encoder_decoder", False):
                raise ConfigError(
                    f"model.name '{name}': transformers cannot load the encoder of a {config.model_type} without its "
                    "decoder: name an encoder such as BERT or ModernBERT, or a T5"
                )
            return without_pooler(kind.from_pretrained(source, use_safetensors=True, dtype=dtype))
    except (ConfigError, MemoryError):
        raise
    except Exception as error:  # a checkpoint may need a package that is missing, or be damaged in many ways
        raise ConfigError(f"model.name '{name}' cannot be loaded: {explain(name, error)}") from None


def load_tokenizer(name: str, *, split_words: bool = False) -> PreTrainedTokenizerBase:
    """Load the tokenizer that belongs to an encoder, a fast one if there is one.

    Args:
        name: as configured.
        split_words: rows come as words; tokenizers for which a space belongs to the word after it put it before each.

    Raises:
        ConfigError: the tokenizer cannot be reached.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(locate_model(name), use_fast=True)
        if split_words and _byte_levels(tokenizer):
            tokenizer = AutoTokenizer.from_pretrained(locate_model(name), use_fast=True, add_prefix_space=True)
            for level in _byte_levels(tokenizer):  # where rules come from a file, the option leaves them as they are
                level.add_prefix_space = True
        return tokenizer
    except MemoryError:
        raise
    except Exception as error:
        raise ConfigError(f"model.name '{name}' has no loadable tokenizer: {explain(name, error)}") from None


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
        encoder, report = encoder_class(config).from_pretrained(
            folder, config=config, use_safetensors=True, dtype="float32", output_loading_info=True
        )
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise ValueError(f"{len(missing)} tensors are missing, the first is {missing[0]}")
    return without_pooler(encoder)


def empty_encoder(folder: Path, dtype: str = "float32") -> PreTrainedModel:
    """Build an encoder with random weights from the configuration in a folder."""
    config = AutoConfig.from_pretrained(folder)
    return without_pooler(encoder_class(config).from_config(config, dtype=dtype))


def encoder_class(config: Any) -> Any:
    """Return the transformers class that loads an encoder: for a T5, which has a decoder too, not AutoModel."""
    kind: Any = MODEL_FOR_TEXT_ENCODING_MAPPING.get(type(config), None)
    return AutoModelForTextEncoding if kind and kind.__name__.endswith("EncoderModel") else AutoModel


def _byte_levels(tokenizer: PreTrainedTokenizerBase) -> list[Any]:
    """Return the rules by which a tokenizer takes a space for the first letter of the word after it."""
    from tokenizers.pre_tokenizers import ByteLevel, Sequence

    rules = getattr(getattr(tokenizer, "backend_tokenizer", None), "pre_tokenizer", None)
    steps = list(rules) if isinstance(rules, Sequence) else [rules]  # type: ignore[call-overload]
    return [step for step in steps if isinstance(step, ByteLevel)]


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


def explain(name: str, error: Exception) -> str:
    """Return why a model cannot be loaded, with the remedy where its name leads nowhere."""
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    if name.startswith((".", "/", "~")) and not Path(name).is_dir():
        return f"there is no folder {Path(name).resolve()}"
    if any(isinstance(cause, (LocalEntryNotFoundError, OfflineModeIsEnabled)) for cause in _causes(error)):
        return (
            "the Hugging Face Hub does not answer, and this machine's cache does not hold it; name a folder that holds "
            "the model, or minilm"
        )
    return bounded(error).partition(": ")[2] or bounded(error)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
