"""Convert a packaged model in GGUF once: transformers reads the format slowly, and cannot save what it has read."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from cl.errors import ConfigError
from cl.extras import require
from cl.process.progress import stage

FORMAT = 1
"""Is part of the folder's name: another release may convert in another way."""


def converted(name: str, file: Path) -> Path:
    """Return the folder with a model's configuration, tokenizer and safetensors, converted where it is not there yet.

    It lies in the user's cache (``XDG_CACHE_HOME``), under the digest of the file. The weights are stored in bfloat16.

    Raises:
        ConfigError: the package `gguf` is missing, or the file cannot be read.
    """
    target = folder_of(name, file)
    if not target.exists():
        require(f"model.name '{name}'", "gguf", error=ConfigError)
        with stage(f"convert {name}"):
            _convert(name, file, target)
    return target


def folder_of(name: str, file: Path) -> Path:
    """Return where a converted model lies, or will."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "perennial" / "models"
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return cache / f"{name}-{digest[:16]}-{FORMAT}"


def _convert(name: str, file: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    draft = target.with_name(f".{target.name}.{os.getpid()}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        read = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
        # what was read from GGUF refuses to be saved: a model of the same configuration takes its weights
        model = AutoModelForCausalLM.from_config(type(read.config).from_dict(_plain(read.config.to_dict())))
        model.load_state_dict(read.state_dict())
        model.generation_config = read.generation_config
        model.to(torch.bfloat16).save_pretrained(draft)
        tokenizer.save_pretrained(draft)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        shutil.rmtree(draft, ignore_errors=True)
        lines = str(error).strip().splitlines() or [""]
        raise ConfigError(f"model.name '{name}': {file} cannot be converted: {lines[0][:300]}") from error
    try:
        draft.rename(target)
    except OSError:  # another process was faster
        shutil.rmtree(draft, ignore_errors=True)


def _plain(config: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in config.items() if key != "quantization_config"}
