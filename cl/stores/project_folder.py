"""The project folder on this machine: its paths and its lock."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cl.errors import BusyError, InputError
from cl.stores.files import write_text

UNUSABLE = "?\\{}"
"""In a SQLite URL, a question mark begins the options; DVC reads backslashes as slashes, and braces as templates."""


@dataclass(frozen=True)
class ProjectFolder:
    """A folder with a cl.yaml and everything that belongs to the project."""

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
        """The folder with one subfolder per experience, each written once."""
        return self.data / "experiences"

    @property
    def quarantine(self) -> Path:
        """The folder with one Parquet file per experience that had invalid rows."""
        return self.data / "quarantine"

    @property
    def work(self) -> Path:
        """The working state of this machine; no other machine needs it."""
        return self.root / ".cl"

    @property
    def reports(self) -> Path:
        """The folder of the HTML reports."""
        return self.root / "reports"

    def resolve(self, uri: str) -> str:
        """Return a relative path or SQLite URL as an absolute one inside the project; others are unchanged."""
        if uri.startswith("sqlite:///") and not uri.startswith("sqlite:////"):
            path = self.root / uri.removeprefix("sqlite:///")
            path.parent.mkdir(parents=True, exist_ok=True)
            return f"sqlite:///{path.resolve()}"
        if "://" in uri:
            return uri
        return str((self.root / uri).resolve())

    @contextlib.contextmanager
    def lock(self, wait: float = 0.0) -> Iterator[None]:
        """Lock the project for one writer; the kernel releases the lock when the process dies.

        Args:
            wait: seconds to wait for another process to release it.

        Raises:
            BusyError: another process holds the lock; the message names the process.
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
                f"{self.root}: another cycle is running here (process {pid}); try again when it has finished"
            ) from None
        try:
            holder.write_text(str(os.getpid()))
            yield
        finally:
            lock.release()

    def may_be_locked_by_another(self) -> bool:
        """Return whether the last process that locked the project is another one, and still runs."""
        try:
            pid = int((self.work / "lock.pid").read_text())
            if pid == os.getpid():
                return False
            os.kill(pid, 0)
        except PermissionError:  # it runs, as somebody else
            return True
        except (OSError, ValueError):
            return False
        return True


def find_project(folder: Path) -> ProjectFolder:
    """Return the project in a folder or in the nearest folder above it.

    Raises:
        InputError: there is no cl.yaml up to the root of the file system, or no project can work in its folder.
    """
    folder = folder.resolve()
    for candidate in (folder, *folder.parents):
        if (candidate / "cl.yaml").is_file():
            check_path(candidate)
            return ProjectFolder(candidate)
    raise InputError(f"{folder}: no cl.yaml here or in a parent folder; `cl init DIR` creates a project")


def check_path(root: Path) -> None:
    """Check that a project can work in a folder.

    Raises:
        InputError: its path has a character that SQLite's URLs or DVC give a meaning, and that cannot be quoted.
    """
    for character in UNUSABLE:
        if character in str(root):
            raise InputError(
                f"{root}: SQLite's URLs and DVC cannot address a folder with '{character}' in its path; choose another"
            )


def mark_pending(project: ProjectFolder, experience: str) -> None:
    """Record, before an experience becomes visible, that data/ will hold more than its last version."""
    write_text(pending_file(project), f"{experience}\n")


def pending_file(project: ProjectFolder) -> Path:
    """Return the file that says that data/ holds more than its last version."""
    return project.work / "pending"
