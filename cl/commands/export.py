"""`cl export`: write a version to a self-contained folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cl.commands._version_catalogue import read_versions
from cl.errors import InputError
from cl.process.progress import stage
from cl.registry.export import check_empty, export
from cl.stores.opened import open_project


def export_version(folder: Path, version: str, target: Path, *, merged: bool = False) -> dict[str, Any]:
    """Write a version to a new or empty folder, and return what can load it.

    Args:
        folder: of the project.
        version: its number.
        target: is written.
        merged: write a language model as a whole, not its adapter alone.

    Raises:
        InputError: there is no such version, its files are gone, or the folder is not empty; or it is to be merged and
            has no base.
        IntegrityError: a file differs from the registered one.
    """
    check_empty(target)
    versions = read_versions(open_project(folder))
    info, stores = versions.get(version), versions.project.stores
    if info.withdrawn is not None:
        raise InputError(f"version {version} of '{versions.project.config.name}' cannot be exported: {info.withdrawn}")
    source = stores.champion_folder(version)
    assert source is not None
    with stage(f"export version {version}"):
        loads = export(source, target, version=version, model=versions.project.config.name, merged=merged)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    tagger = versions.project.config.pipeline.tagger
    return {"folder": str(target), "version": version, "bytes": size, "loads": loads, "tagger": tagger}
