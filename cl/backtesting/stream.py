"""The stream of a backtest: read and checked exactly as `cl ingest` does, and kept for the next backtest."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from cl import __version__, plugins
from cl.config import Config
from cl.errors import InputError, SourceError
from cl.ingestion.ingest import ingest
from cl.ingestion.sources import Source
from cl.records import Experience
from cl.stores.data.experiences import Experiences
from cl.stores.project_folder import ProjectFolder


def read_stream(config: Config, data: Path, folder: Path) -> tuple[Experiences, list[Experience]]:
    """Return the experiences of a file or a folder, ingested once for each configuration of the data.

    Args:
        config: its columns, splits and bounds; a `data.source` is not read.
        data: what `cl ingest` would be given.
        folder: where streams are kept.

    Raises:
        SourceError: there is nothing to read, or no good row in it.
    """
    project = ProjectFolder(folder / _digest(config, data))
    done = project.root / "complete"
    if not done.exists():
        shutil.rmtree(project.root, ignore_errors=True)
        source = plugins.build(Source, {"name": "files", "path": str(data.absolute()), "only": config.data.only})
        ingest(config, project, source)
        done.touch()
    experiences = Experiences(project)
    found = experiences.all()
    if not found:
        raise SourceError(f"{data}: no experience in it")
    return experiences, found


def reorder(found: list[Experience], order: str | None) -> list[Experience]:
    """Return the experiences named, in the order named; all of them when nothing is said.

    Raises:
        InputError: a name is none of theirs, or comes twice.
    """
    if order is None:
        return found
    by_name = {one.name: one for one in found}
    names = [name.strip() for name in order.split(",")]
    for at, name in enumerate(names):
        if name not in by_name:
            raise InputError(f"--order: no experience '{name}'; there are {', '.join(by_name)}")
        if name in names[:at]:
            raise InputError(f"--order: '{name}' comes twice; name each experience once")
    return [by_name[name] for name in names]


def check_splits(experiences: list[Experience]) -> None:
    """See that each experience has something to learn and something to be tested on.

    Raises:
        InputError: one has not; a score of nothing would pass for a score of 0.
    """
    empty = {one.name: [split for split in ("train", "test") if not one.rows.get(split)] for one in experiences}
    lacking = [
        f"'{one.name}' (rows: {one.total}) has no {' and no '.join(empty[one.name])} rows"
        for one in experiences
        if empty[one.name]
    ]
    if lacking:
        whole = ",".join(name for name, splits in empty.items() if not splits)
        leave = f", or leave it out: --order {whole}" if whole else ""
        raise InputError(f"experience {', '.join(lacking)}; give it more rows, or another data.split{leave}")


def _digest(config: Config, data: Path) -> str:
    """Name a stream by what decides it: the files as they are, and how they are read."""
    files = sorted(data.rglob("*")) if data.is_dir() else [data]
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.is_file()]
    how = config.model_dump(mode="json", by_alias=True, include={"data", "task"})
    return hashlib.sha256(json.dumps([__version__, stats, how], sort_keys=True).encode()).hexdigest()[:16]
