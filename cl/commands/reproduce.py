"""`cl reproduce`: a version is trained again and compared."""

from __future__ import annotations

from pathlib import Path

from cl.registry.reproduce import Reproduction, reproduce
from cl.stores.opened import open_project


def reproduce_version(folder: Path, version: str) -> Reproduction:
    """Train a version again from its record, in a folder of its own, and return how it compares.

    Raises:
        InputError: there is no such version, or nothing was trained for it.
        StoreError: its data, its parent or itself cannot be had any more.
    """
    at = open_project(folder)
    at.stores.registry.initialise()
    return reproduce(at.config, at.stores, version)
