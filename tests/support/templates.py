"""Projects that have learnt something already, made once for each process and copied for each test that goes on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from cl.stores.project_folder import ProjectFolder


def copied(template: ProjectFolder, folder: Path, **changes: Any) -> ProjectFolder:
    """Copy a project and return the copy, which knows nothing of the first one.

    Args:
        template: the project.
        folder: the copy; it is made.
        changes: top-level keys of its configuration that are replaced.
    """
    shutil.copytree(template.root, folder)
    project = ProjectFolder(folder)
    project.config.write_text(yaml.safe_dump({**yaml.safe_load(project.config.read_text()), **changes}))
    return project
