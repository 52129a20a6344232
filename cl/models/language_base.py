"""The base of a language model: the pretrained weights that its versions refer to by digest and never copy.

A project keeps each base once, in ``.cl/bases/DIGEST``; a version anywhere else is read with the base at the place that
``model.name`` says. Wherever it comes from, the digest of each of its files is checked.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, GenerationConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
)

from cl.errors import ConfigError, IntegrityError
from cl.models.base_files import LanguageBase as LanguageBase
from cl.models.base_files import sha256_of
from cl.models.drop_layers import drop_layers
from cl.models.locate import local_file, locate_model
from cl.models.pretrained import explain, without_warnings

PATTERNS = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json")
"""The files that are a base; the tokenizer is the version's own."""
RestoreBase = Callable[[LanguageBase, Path, str], PreTrainedModel]
"""Returns a base in memory, for the folder of a version and the format of the weights, as `restore_base` does."""
PROJECT = "cl.yaml"
"""The file that marks a project."""


def load_base(name: str, dtype: str) -> tuple[PreTrainedModel, LanguageBase]:
    """Load a language model by the name in the configuration, and say which files it was loaded from.

    Args:
        name: as configured.
        dtype: of the weights; ``auto``: that of the checkpoint.

    Raises:
        ConfigError: it cannot be reached or loaded, or is no model that writes text.
    """
    source = locate_model(name)
    try:
        with without_warnings():
            config = AutoConfig.from_pretrained(source)
            _check_writes(name, config)
            model = _load(source, config, dtype)
    except (ConfigError, MemoryError):
        raise
    except Exception as error:  # a checkpoint may need a package that is missing, or be damaged in many ways
        raise ConfigError(f"model.name '{name}' cannot be loaded: {explain(name, error)}") from None
    where = local_file(name, "config.json")
    assert where is not None, "transformers has just read it"
    return model, describe_base(name, where.parent)


def describe_base(name: str, folder: Path) -> LanguageBase:
    """Return the base in a folder."""
    paths = sorted({path for pattern in PATTERNS for path in folder.glob(pattern)})
    return LanguageBase(name, {path.name: sha256_of(path) for path in paths})


def restore_base(base: LanguageBase, version: Path, dtype: str) -> PreTrainedModel:
    """Load the base of a version.

    Args:
        base: is wanted.
        version: the version's folder; a project above it may keep the base.
        dtype: as for `load_base`.

    Raises:
        IntegrityError: no place has these files.
    """
    folder = _find(base, version)
    with without_warnings():
        model = _load(str(folder), AutoConfig.from_pretrained(folder), dtype)
    return model if base.layers is None else drop_layers(model, list(base.layers))


def count_layers(base: LanguageBase, version: Path) -> int:
    """Return how many layers the base of a version has, of those that the version uses.

    Raises:
        IntegrityError: no place has its files.
    """
    if base.layers is not None:
        return len(base.layers)
    return int(AutoConfig.from_pretrained(_find(base, version)).num_hidden_layers)


def outline_base(base: LanguageBase, version: Path) -> PreTrainedModel:
    """Return the base of a version without its weights, on torch's meta device: its sizes, and the names of its parts.

    Raises:
        IntegrityError: no place has its configuration.
    """
    described = {name: digest for name, digest in base.files.items() if Path(name).suffix == ".json"}
    folder = _find(base, version, LanguageBase(base.name, described))
    config = AutoConfig.from_pretrained(folder)
    kind: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with without_warnings(), torch.device("meta"):
        model: PreTrainedModel = kind.from_config(config)
    if "generation_config.json" in base.files:
        model.generation_config = GenerationConfig.from_pretrained(folder)
    return model if base.layers is None else drop_layers(model, list(base.layers))


def keep_base(base: LanguageBase, version: Path) -> None:
    """Copy a version's base into the project above its folder, unless it is there already, or there is no project."""
    kept = _kept_in_project(base, version)
    if kept is None or kept.exists():
        return
    source = local_file(base.name, "config.json")
    if source is None or not base.lies_in(source.parent):
        return
    draft = kept.with_name(f".{kept.name}.{os.getpid()}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for name in base.files:
        shutil.copyfile(source.parent / name, draft / name)
    try:
        draft.rename(kept)
    except OSError:  # another process was faster
        shutil.rmtree(draft, ignore_errors=True)


def _find(base: LanguageBase, version: Path, needed: LanguageBase | None = None) -> Path:
    """Return the folder with a base, or with those of its files that are ``needed``."""
    needed = needed or base
    kept = _kept_in_project(base, version)
    if kept is not None and kept.is_dir():
        if needed.lies_in(kept):
            return kept
        raise IntegrityError(f"{kept}: a file of the base '{base.name}' was changed: remove the folder, or restore it")
    source = local_file(base.name, "config.json")
    if source is not None and needed.lies_in(source.parent):
        return source.parent
    why = "is not on this machine" if source is None else f"in {source.parent} has other files than it was trained on"
    where = "" if kept is None else f", or restore {kept}"
    raise IntegrityError(f"{version}: its base model '{base.name}' {why}: bring it here{where}")


def _kept_in_project(base: LanguageBase, version: Path) -> Path | None:
    above = (folder for folder in version.absolute().parents if (folder / PROJECT).is_file())
    project = next(above, None)
    return None if project is None else project / ".cl" / "bases" / base.digest


def _check_writes(name: str, config: Any) -> None:
    kind = type(config)
    if kind in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING:
        return
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING or kind in MODEL_FOR_MASKED_LM_MAPPING:
        raise ConfigError(
            f"model.name '{name}': {config.model_type} does not write text: name a causal model such as SmolLM2 or "
            "Llama, or an encoder and decoder such as T5, BART or Marian"
        )


def _load(source: str, config: Any, dtype: str) -> PreTrainedModel:
    kind: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    model, report = kind.from_pretrained(
        source, config=config, use_safetensors=True, dtype=dtype, output_loading_info=True
    )
    missing = sorted(report["missing_keys"])
    if missing:
        raise ValueError(f"{len(missing)} tensors are missing, the first is {missing[0]}")
    loaded: PreTrainedModel = model
    return loaded
