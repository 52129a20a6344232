"""Check that the files of experiences are unchanged: experiences are immutable, and damage must not be versioned."""

from __future__ import annotations

import json
import os
from pathlib import Path

from cl.errors import StoreError
from cl.records import SPLITS
from cl.stores.data.experiences import Experiences, digest_of
from cl.stores.project_folder import ProjectFolder


def check_undamaged(project: ProjectFolder, before: str | None, after: str | None) -> None:
    """Compare two versions of data/; a row file that differs must match its experience's record.

    Args:
        project: the project, whose DVC cache lists the files of a version; versions not in it are not compared.
        before: hash of the previous version.
        after: hash of the new version.

    Raises:
        StoreError: a file was changed or is missing; the message names it.
    """
    old, new = _list_files(project, before), _list_files(project, after)
    for name in sorted(name for name in old if new and new.get(name) != old[name]):
        path = project.data / name
        if path.name in [f"{split}.parquet" for split in SPLITS] and path.parent.is_dir() and not _matches_record(path):
            raise StoreError(
                f"{path}: was changed after it was ingested; run `dvc checkout --force {path}` in the project's folder "
                "to restore the versioned file"
            )


def find_new(project: ProjectFolder, version: str, *, since: int) -> list[Path] | None:
    """Return the paths under data/ that a version lacks, if all else is in it as it was; None: look at everything.

    Args:
        project: the project, whose DVC cache lists the files of a version.
        version: hash of the last version.
        since: when it was made, in nanoseconds since 1970: what was written later may have changed.
    """
    listed, present, new = _list_files(project, version), 0, list[Path]()
    data, experiences = str(project.data), str(project.experiences)
    for folder, names, files in os.walk(data):
        names[:] = sorted(name for name in names if not name.startswith("."))
        inside = [f"{folder}/{name}" for name in sorted(files) if not name.startswith(".")]
        known = [path for path in inside if path[len(data) + 1 :] in listed]
        if any(os.stat(path).st_mtime_ns > since for path in known):  # noqa: PTH116  # for all files of the stream
            return None
        present += len(known)
        is_experience = folder.rpartition("/")[0] == experiences
        whole = bool(inside) and not known and is_experience
        new += [Path(folder)] if whole else [Path(path) for path in inside if path not in known]
    return new if listed and present == len(listed) else None


def list_objects(project: ProjectFolder, version: str | None) -> set[str]:
    """Return the hashes of the files of a version of data/; empty if the version is not in the cache."""
    return set(_list_files(project, version).values())


def version_matches(project: ProjectFolder, version: str) -> bool:
    """Return whether data/ has every file of a version; False for a version that is not in the cache."""
    files = _list_files(project, version)
    return bool(files) and all((project.data / name).is_file() for name in files)


def _matches_record(path: Path) -> bool:
    project, id = ProjectFolder(path.parents[3]), path.parent.name
    try:
        return digest_of(path.parent) == Experiences(project).get(id).digest
    except FileNotFoundError:
        return False


def _list_files(project: ProjectFolder, version: str | None) -> dict[str, str]:
    """Return file -> hash for a version of data/; empty if the version is not in the cache."""
    if version is None:
        return {}
    listing = project.root / ".dvc" / "cache" / "files" / "md5" / version[:2] / version[2:]
    if not listing.is_file():
        return {}
    return {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_text(encoding="utf-8"))}
