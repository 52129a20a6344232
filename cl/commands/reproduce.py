"""`cl reproduce`: train a version again and compare."""

from __future__ import annotations

from pathlib import Path

from cl.registry.reproduce import Reproduction, reproduce
from cl.stores.opened import open_project


def reproduce_version(folder: Path, version: str) -> Reproduction:
    """Train a version again from its record, in a separate folder, and return how it compares.

    Raises:
        InputError: there is no such version, or nothing was trained for it.
        StoreError: its data, its parent or its files are no longer available.
    """
    project = open_project(folder)
    project.stores.registry.initialise()
    return reproduce(project.config, project.stores, version)
