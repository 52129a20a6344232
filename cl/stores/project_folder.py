"""The project's folder on this machine: its paths, its lock, and files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cl.errors import BusyError, InputError
from cl.stores.files import write_text

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class ProjectFolder:
    """A folder with a cl.yaml; everything else has its place beside it."""

    root: Path

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.root / "cl.yaml"

    @property
    def data(self) -> Path:
        """The folder that DVC versions."""
        return self.root / "data"

    @property
    def experiences(self) -> Path:
        """One folder an experience, written once."""
        return self.data / "experiences"

    @property
    def quarantine(self) -> Path:
        """One Parquet file an experience that had broken rows."""
        return self.data / "quarantine"

    @property
    def work(self) -> Path:
        """Working state of this machine; nothing in it is needed elsewhere."""
        return self.root / ".cl"

    @property
    def reports(self) -> Path:
        """HTML reports."""
        return self.root / "reports"

    def resolve(self, uri: str) -> str:
        """Make a relative path, or a relative SQLite URL, absolute inside the project."""
        if uri.startswith("sqlite:///") and not uri.startswith("sqlite:////"):
            path = self.root / uri.removeprefix("sqlite:///")
            path.parent.mkdir(parents=True, exist_ok=True)
            return f"sqlite:///{path.resolve()}"
        if "://" in uri:
            return uri
        return str((self.root / uri).resolve())

    @contextlib.contextmanager
    def lock(self, wait: float = 0.0) -> Iterator[None]:
        """Hold the project for one writer; the kernel frees it when the process dies.

        Args:
            wait: seconds to wait for another holder to end.

        Raises:
            BusyError: another process holds it; the message names the process.
        """
        from filelock import FileLock, Timeout

        self.work.mkdir(parents=True, exist_ok=True)
        holder = self.work / "lock.pid"
        lock = FileLock(self.work / "lock")
        try:
            lock.acquire(timeout=wait, poll_interval=0.2)
        except Timeout:
            pid = holder.read_text().strip() if holder.exists() else "unknown"
            raise BusyError(
                f"{self.root}: another cycle is running here (process {pid}); try again when it ends"
            ) from None
        try:
            holder.write_text(str(os.getpid()))
            yield
        finally:
            lock.release()


def find_project(folder: Path) -> ProjectFolder:
    """Return the project in a folder or in the nearest folder above it.

    Raises:
        InputError: there is no cl.yaml up to the root of the file system.
    """
    folder = folder.resolve()
    for candidate in (folder, *folder.parents):
        if (candidate / "cl.yaml").is_file():
            return ProjectFolder(candidate)
    raise InputError(f"{folder}: no cl.yaml here or above; `cl init DIR` makes a project")


def mark_pending(project: ProjectFolder, experience: str) -> None:
    """Note, before an experience becomes visible, that data/ will hold more than its last version."""
    write_text(_pending(project), f"{experience}\n")


def _pending(project: ProjectFolder) -> Path:
    return project.work / "pending"
