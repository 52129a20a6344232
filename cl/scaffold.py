"""Make a new project: a commented cl.yaml and the folders beside it."""

from __future__ import annotations

from pathlib import Path

from cl import config as configuration
from cl.errors import InputError
from cl.stores.connect import connect
from cl.stores.local import Project, write_text

IGNORED = "/.cl/\n/data\n/predictions/\n/mlflow/*.db*\n/mlflow/artifacts/\n/reports/\n"


def scaffold(folder: Path, text: str | None = None) -> Project:
    """Write cl.yaml, set up DVC over data/, and return the project.

    Args:
        folder: new or empty.
        text: the configuration; the commented template by default.

    Raises:
        InputError: there is a project, or a file, at that place already.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; name a new folder")
    if (folder / "cl.yaml").exists():
        raise InputError(f"{folder}: holds a project already (cl.yaml); name a new folder")
    project = Project(folder.resolve())
    try:
        for place in (project.experiences, project.quarantine, project.work, project.root / "mlflow"):
            place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror}") from None
    write_text(project.root / ".gitignore", IGNORED)
    write_text(project.config, text or template(project.root.name))
    stores = connect(project, configuration.load(project.config))
    stores.data.initialise()
    stores.data.commit()
    return project


def template(name: str) -> str:
    """Return the commented configuration for a model of that name."""
    safe = "".join(c if c.isalnum() and c.isascii() else "-" for c in name).strip("-") or "model"
    return (Path(__file__).parent / "scaffold_files" / "cl.yaml").read_text(encoding="utf-8").replace("NAME", safe)
