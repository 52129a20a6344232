"""`cl init`: create a project with a commented cl.yaml and its folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cl import config as configuration
from cl.config.yaml import read_yaml
from cl.errors import InputError
from cl.stores.files import write_text
from cl.stores.project_folder import ProjectFolder, check_path
from cl.stores.stores import open_stores

HEAD = "# What this project learns, and how; `cl config reference` prints all keys.\n\n"
IGNORED = "/.cl/\n/data\n/predictions/\n/mlflow/*.db*\n/mlflow/artifacts/\n/reports/\n"


def scaffold(folder: Path, text: str | None = None) -> ProjectFolder:
    """Write cl.yaml, set up DVC over data/, and return the project.

    Args:
        folder: new or empty.
        text: the configuration; the commented template by default.

    Raises:
        InputError: the folder already contains a project, or is a file, or no project can work there.
    """
    check_path(folder.resolve())
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; name a new folder")
    if (folder / "cl.yaml").exists():
        raise InputError(f"{folder}: already contains a project (cl.yaml); name a new folder")
    project = ProjectFolder(folder.resolve())
    try:
        for path in (project.experiences, project.quarantine, project.work, project.root / "mlflow"):
            path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be created: {error.strerror}") from None
    write_text(project.root / ".gitignore", IGNORED)
    write_text(project.config, text or template(project.root.name))
    stores = open_stores(project, configuration.load(project.config))
    stores.data.initialise()
    stores.data.commit()
    return project


def template(name: str) -> str:
    """Return the commented configuration for a model of that name."""
    safe = "".join(c if c.isalnum() and c.isascii() else "-" for c in name).strip("-") or "model"
    written = safe if isinstance(read_yaml(f"name: {safe}")["name"], str) else f'"{safe}"'  # such as 2024 or null
    return (Path(__file__).parent / "templates" / "cl.yaml").read_text(encoding="utf-8").replace("NAME", written)


def template_with(name: str, settings: Mapping[str, Any]) -> str:
    """Return the configuration for a model of that name with some settings replaced, nested as in cl.yaml.

    Raises:
        ConfigError: a key or value is invalid.
    """
    return with_settings(template(name), settings, where="settings")


def with_settings(text: str, settings: Mapping[str, Any], *, where: str) -> str:
    """Return a configuration with some settings replaced, nested as in cl.yaml; the same text where nothing changes.

    Raises:
        ConfigError: a key or value is invalid; the message begins with ``where``.
    """
    raw = _merge(read_yaml(text), settings)
    if raw == read_yaml(text):
        return text
    configuration.parse(raw, where=where)
    return HEAD + yaml.safe_dump(raw, sort_keys=False, allow_unicode=True)


def _merge(raw: Any, settings: Mapping[str, Any]) -> Any:
    """Return ``raw`` updated recursively with ``settings``; a plug-in's entry is replaced as a whole."""
    merged = dict(raw)
    for key, value in settings.items():
        old = merged.get(key)
        nested = isinstance(old, dict) and isinstance(value, Mapping) and "name" not in value
        merged[key] = _merge(old, value) if nested else value
    return merged
