"""The moments of a cycle at which something is about to be written for good, or just has been.

A moment is found by running: whatever stage or store is added, its journal entry and its writes are moments too.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

WRITE = "write"
UPLOAD = "HttpArtifactRepository.log_artifact"
BOUNDARIES = (
    "cl.stores.journal:write_text",  # each step's entry, by its name
    "cl.stores.journal:Journal.close",
    "cl.ingestion.ingest:publish",
    "cl.ingestion.ingest:remember_fingerprints",
    "cl.stores.data.publish:mark_pending",
    "cl.stores.data.publish:move_into_place",
    "cl.stores.data.dvc:DataVersions.commit",
    "dvc.repo:Repo.add",
    "cl.stores.data.dvc:DataVersions._push",
    "cl.registry.register:write_manifest",
    "cl.stores.mlflow.runs:Runs.start_run",
    "cl.stores.mlflow.registry:Registry.log_version",
    "mlflow.pyfunc:log_model",
    "mlflow:MlflowClient.create_model_version",
    "cl.stores.ledger.ledger:Ledger.intend",
    "cl.stores.mlflow.registry:Registry.set_alias",
    "cl.stores.ledger.ledger:Ledger.commit",
    "cl.stores.mlflow.registry:Registry.delete_alias",
    "cl.stores.mlflow.runs:Runs.log_params",
    "cl.stores.mlflow.runs:Runs.log_dataset",
    "cl.stores.mlflow.runs:Runs.log_metrics",
    "cl.stores.mlflow.runs:Runs.record_cycle",
    "cl.stores.stores:Stores.remember_finished",
    f"mlflow.store.artifact.http_artifact_repo:{UPLOAD}",  # where a server keeps the files
)


@dataclass(frozen=True)
class Moment:
    """Just before, or just after, a boundary is passed for the nth time."""

    boundary: str
    nth: int = 1
    when: Literal["before", "after"] = "before"

    def __str__(self) -> str:
        times = "" if self.nth == 1 else f" ({self.nth})"
        return f"{self.when} {self.boundary}{times}"


def watch(told: Callable[[Moment], None], targets: Sequence[str] = BOUNDARIES) -> None:
    """Tell of every boundary that this process passes from now on. There is no way back: the process is a child."""
    passed: Counter[str] = Counter()

    def tell(boundary: str, when: Literal["before", "after"]) -> None:
        if when == "before":
            passed[boundary] += 1
        told(Moment(boundary, passed[boundary], when))

    for target in targets:
        _wrap(target, tell)


def watch_writes(folder: Path, told: Callable[[Moment], None]) -> None:
    """Tell before all that this process opens for writing, renames or removes below a folder, and each commit."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    count = 0
    root = str(folder)

    def write(*_: Any) -> None:
        nonlocal count
        count += 1
        told(Moment(WRITE, count))

    def seen(name: str, arguments: tuple[Any, ...]) -> None:
        if name in _CHANGES and arguments and _below(root, arguments[0]) and _writes(name, arguments):
            write()

    event.listen(Engine, "commit", write)
    sys.addaudithook(seen)


_CHANGES = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "sqlite3.connect"}


def _writes(name: str, arguments: tuple[Any, ...]) -> bool:
    if name != "open":
        return True
    _, mode, flags = arguments
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(int(flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _below(root: str, path: Any) -> bool:
    return isinstance(path, (str, os.PathLike)) and str(path).startswith(root)


def _wrap(target: str, tell: Callable[[str, Literal["before", "after"]], None]) -> None:
    module, _, path = target.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for one in owners:
        owner = getattr(owner, one)
    real = getattr(owner, name)

    @functools.wraps(real)
    def told(*args: Any, **kwargs: Any) -> Any:
        boundary = _name(target, args)
        tell(boundary, "before")
        result = real(*args, **kwargs)
        tell(boundary, "after")
        return result

    setattr(owner, name, told)


def _name(target: str, args: tuple[Any, ...]) -> str:
    """Return what a boundary is called: for a journal's entry, that of the step."""
    path = target.partition(":")[2]
    return f"journal of {Path(args[0]).stem}" if target == BOUNDARIES[0] else path
