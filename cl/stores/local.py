"""The project's folder on this machine: its paths, its lock, and files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cl.errors import BusyError, InputError, IntegrityError
from cl.stores.admitted import check_admitted

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Project:
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


def open_project(folder: Path) -> Project:
    """Return the project in a folder or in the nearest folder above it.

    Raises:
        InputError: there is no cl.yaml up to the root of the file system.
    """
    folder = folder.resolve()
    for candidate in (folder, *folder.parents):
        if (candidate / "cl.yaml").is_file():
            return Project(candidate)
    raise InputError(f"{folder}: no cl.yaml here or above; `cl init DIR` makes a project")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: a reader sees the old text or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def kept_text(folder: Path | None, name: str, make: Callable[[], str]) -> str:
    """Return a text that never changes: made once and kept in a folder; without a folder it is made every time."""
    if folder is None:
        return make()
    if not (folder / name).exists():
        write_text(folder / name, make())
    return (folder / name).read_text(encoding="utf-8")


def place(draft: Path, final: Path) -> None:
    """Make a finished folder visible under its name by one rename; an older one there is replaced."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        shutil.rmtree(final)
    draft.rename(final)


def sha256(path: Path) -> str:
    """Return the hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path) -> None:
    """Write the digests of all files of a folder into its manifest.

    Raises:
        IntegrityError: there is a file that `check_manifest` would refuse.
    """
    names = _files(folder)
    check_admitted(folder, names)
    digests = {name: sha256(folder / name) for name in names}
    write_text(folder / MANIFEST, json.dumps(digests, indent=1, sort_keys=True))


def check_manifest(folder: Path) -> None:
    """Compare a folder with its manifest.

    Raises:
        IntegrityError: a file is missing, added, changed, or of a kind that no version holds; the message names it.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise IntegrityError(f"{folder}: no {MANIFEST}; this is not a whole version")
    promised, present = _promised(manifest), set(_files(folder))
    check_admitted(folder, present | set(promised))
    for name in sorted(present | set(promised)):
        if name not in promised:
            raise IntegrityError(f"{folder}: {name} is not in the manifest")
        if name not in present:
            raise IntegrityError(f"{folder}: {name} is missing")
        if sha256(folder / name) != promised[name]:
            raise IntegrityError(f"{folder}: {name} is not the file that was saved (digest differs)")


def _promised(manifest: Path) -> dict[str, str]:
    try:
        promised = json.loads(manifest.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError):
        promised = None
    if not isinstance(promised, dict):
        raise IntegrityError(f"{manifest.parent}: {MANIFEST} is damaged; this is not a whole version")
    return promised


def _files(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST
    )


def place_sealed(draft: Path, folder: Path) -> None:
    """Rename a whole version to its place; another process that brought the same one first is as good.

    Raises:
        IntegrityError: what lies there is not what its manifest says.
    """
    try:
        draft.rename(folder)
    except OSError:
        check_manifest(folder)
