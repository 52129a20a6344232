"""Whether the files of experiences are what they were: an experience is written once, and damage is not versioned."""

from __future__ import annotations

import json
from pathlib import Path

from cl.errors import StoreError
from cl.records import SPLITS
from cl.stores.data.experiences import Experiences, digest_of
from cl.stores.project_folder import ProjectFolder


def check_undamaged(project: ProjectFolder, before: str | None, after: str | None) -> None:
    """Compare two versions of data/; rows that differ must be those that their experience's record tells of.

    Args:
        project: whose DVC cache lists what a version holds; one that it does not list is not compared.
        before: hash of the version that was.
        after: hash of the one that shall be.

    Raises:
        StoreError: a file has changed or is gone; the message names it.
    """
    was, now = _listed(project, before), _listed(project, after)
    for name in sorted(name for name in was if now and now.get(name) != was[name]):
        path = project.data / name
        if path.name in [f"{split}.parquet" for split in SPLITS] and path.parent.is_dir() and not _is_whole(path):
            raise StoreError(
                f"{path}: is not what was ingested; `dvc checkout --force {path}`, in the project's folder, "
                "brings it back as it was versioned"
            )


def version_matches(project: ProjectFolder, version: str) -> bool:
    """Tell whether data/ has every file that a version lists; of one that the cache does not know: no."""
    listed = _listed(project, version)
    return bool(listed) and all((project.data / name).is_file() for name in listed)


def _is_whole(path: Path) -> bool:
    project, id = ProjectFolder(path.parents[3]), path.parent.name
    try:
        return digest_of(path.parent) == Experiences(project).get(id).digest
    except FileNotFoundError:
        return False


def _listed(project: ProjectFolder, version: str | None) -> dict[str, str]:
    """Return the hash of each file that a version of data/ holds, as far as this machine knows it."""
    if version is None:
        return {}
    listing = project.root / ".dvc" / "cache" / "files" / "md5" / version[:2] / version[2:]
    if not listing.is_file():
        return {}
    return {one["relpath"]: one["md5"] for one in json.loads(listing.read_text(encoding="utf-8"))}
