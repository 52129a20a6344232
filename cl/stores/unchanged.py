"""Whether experiences are what they were: each is written once, and damage must not become a version."""

from __future__ import annotations

import json
from pathlib import Path

from cl.errors import StoreError
from cl.records import SPLITS
from cl.stores.drafts import digest_of
from cl.stores.experiences import Experiences
from cl.stores.local import Project


def refuse_damaged(project: Project, before: str | None, after: str | None) -> None:
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
        if (
            path.name in [f"{split}.parquet" for split in SPLITS]
            and path.parent.is_dir()
            and not _is_whole(project, path)
        ):
            raise StoreError(
                f"{path}: is not what was ingested; `dvc checkout --force {path}`, in the project's folder, "
                "brings it back as it was versioned"
            )


def _is_whole(project: Project, path: Path) -> bool:
    try:
        return digest_of(path.parent) == Experiences(project).get(path.parent.name).digest
    except FileNotFoundError:
        return False


def _listed(project: Project, version: str | None) -> dict[str, str]:
    """Return the hash of each file that a version of data/ holds, as far as this machine knows it."""
    if version is None:
        return {}
    listing = project.root / ".dvc" / "cache" / "files" / "md5" / version[:2] / version[2:]
    if not listing.is_file():
        return {}
    return {one["relpath"]: one["md5"] for one in json.loads(listing.read_text(encoding="utf-8"))}
