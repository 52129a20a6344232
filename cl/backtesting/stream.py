"""The stream of a backtest: ingested exactly as by `cl ingest`, and kept for the next backtest."""

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
    """Return the experiences of a file or a folder, ingested once per data configuration.

    Args:
        config: its columns, splits and limits; `data.source` is ignored.
        data: a file or folder, as for `cl ingest`.
        folder: where streams are kept.

    Raises:
        SourceError: there is nothing to read, or no valid row.
    """
    project = ProjectFolder(folder / _stream_digest(config, data))
    done = project.root / "complete"
    if not done.exists():
        shutil.rmtree(project.root, ignore_errors=True)
        source = plugins.build(Source, {"name": "files", "path": str(data.absolute()), "only": config.data.only})
        ingest(config, project, source)
        done.touch()
    store = Experiences(project)
    experiences = store.all()
    if not experiences:
        raise SourceError(f"{data}: contains no experience")
    return store, experiences


def reorder(experiences: list[Experience], order: str | None) -> list[Experience]:
    """Return the named experiences in the given order; None: all of them, unchanged.

    Raises:
        InputError: a name is unknown or repeated.
    """
    if order is None:
        return experiences
    by_name = {experience.name: experience for experience in experiences}
    names = [name.strip() for name in order.split(",")]
    for index, name in enumerate(names):
        if name not in by_name:
            raise InputError(f"--order: no experience '{name}'; there are: {', '.join(by_name)}")
        if name in names[:index]:
            raise InputError(f"--order: '{name}' is repeated; name each experience once")
    return [by_name[name] for name in names]


def check_splits(experiences: list[Experience]) -> None:
    """Check that each experience has training and test rows.

    Raises:
        InputError: an experience has none; its missing score would count as 0.
    """
    empty = {
        experience.name: [split for split in ("train", "test") if not experience.rows.get(split)]
        for experience in experiences
    }
    lacking = [
        f"'{experience.name}' (rows: {experience.total}) has no {' and no '.join(empty[experience.name])} rows"
        for experience in experiences
        if empty[experience.name]
    ]
    if lacking:
        whole = ",".join(name for name, splits in empty.items() if not splits)
        leave = f", or leave it out: --order {whole}" if whole else ""
        raise InputError(f"experience {', '.join(lacking)}; add rows, or change data.split{leave}")


def _stream_digest(config: Config, data: Path) -> str:
    """Return a digest of a stream's inputs: the files as they are, and how they are read."""
    files = sorted(data.rglob("*")) if data.is_dir() else [data]
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.is_file()]
    how = config.model_dump(mode="json", by_alias=True, include={"data", "task"})
    return hashlib.sha256(json.dumps([__version__, stats, how], sort_keys=True).encode()).hexdigest()[:16]
