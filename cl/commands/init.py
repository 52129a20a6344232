"""`cl init`: create a project with a commented cl.yaml and its folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cl import config as configuration
from cl import plugins
from cl.config.data import OWN_FIELDS
from cl.config.yaml import read_yaml
from cl.errors import InputError
from cl.stores.files import write_text
from cl.stores.project_folder import ProjectFolder, check_path
from cl.stores.stores import open_stores
from cl.tasks import Capability, Task

HEAD = "# What this project learns, and how; `cl config reference` prints all keys.\n\n"
DEFAULT_TASK = "text_classification"
IGNORED = "/.cl/\n/data\n/predictions/\n/mlflow/*.db*\n/mlflow/artifacts/\n/reports/\n"


def scaffold(folder: Path, text: str | None = None, *, task: str = DEFAULT_TASK) -> ProjectFolder:
    """Write cl.yaml, set up DVC over data/, and return the project.

    Args:
        folder: new or empty.
        text: the configuration; the commented template of the task by default.
        task: what is predicted, where no text is given.

    Raises:
        InputError: the folder already contains a project, or is a file, or no project can work there.
        UnknownPluginError: there is no such task.
    """
    text = text or template(folder.resolve().name, task)
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
    write_text(project.config, text)
    stores = open_stores(project, configuration.load(project.config))
    stores.data.initialise()
    stores.data.commit()
    return project


def template(name: str, task: str = DEFAULT_TASK) -> str:
    """Return the commented configuration for a model of that name: what it writes out are the defaults of its task.

    Raises:
        UnknownPluginError: there is no such task; the message lists those there are.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    schema, writes = plugins.find(Task, task).schema, Capability.WRITING in plugins.find(Task, task).provides
    measures = plugins.build(Task, task).measures_texts
    names = [name for name in schema.names if not (measures and name == schema.answer.name)]
    defaults = configuration.parse({"task": task}, where="task")
    safe = "".join(c if c.isalnum() and c.isascii() else "-" for c in name).strip("-") or "model"
    written = safe if isinstance(read_yaml(f"name: {safe}")["name"], str) else f'"{safe}"'  # such as 2024 or null
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("writing.yaml" if writes else "cl.yaml").render(
        name=written,
        task=task,
        other_tasks="         # or token_classification (BIO2 tags)" if task == DEFAULT_TASK else "",
        columns=_columns(names),
        names=", ".join(["id", *names]),
        measures=measures,
        ladder=bool(defaults.ladder),
        baseline="baseline" in [gate if isinstance(gate, str) else gate["name"] for gate in defaults.gates],
        max_length=defaults.model.max_length,
    )


def _columns(names: list[str]) -> str:
    """Return the lines of ``data`` that say what the columns of a task are called."""
    own = [f"  {name}: {name}\n" for name in names if name in OWN_FIELDS]
    others = ", ".join(f"{name}: {name}" for name in names if name not in OWN_FIELDS)
    return "".join(own) + (f"  # columns: {{{others}}}    # the task's column: yours\n" if others else "")


def template_with(name: str, settings: Mapping[str, Any]) -> str:
    """Return the configuration for a model of that name with some settings replaced, nested as in cl.yaml.

    Raises:
        ConfigError: a key or value is invalid.
    """
    task = settings.get("task", DEFAULT_TASK)
    named = task.get("name") if isinstance(task, Mapping) else task
    fits = named if named in plugins.names("tasks") else DEFAULT_TASK  # any other is refused with the settings
    return with_settings(template(name, fits), settings, where="settings")


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
