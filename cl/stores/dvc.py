"""The versions of data/, kept with DVC: the only file that imports dvc."""

from __future__ import annotations

import configparser
import contextlib
import io
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import yaml

from cl.errors import StoreError
from cl.stores.local import Project, write_text

if TYPE_CHECKING:
    from dvc.repo import Repo

log = logging.getLogger(__name__)
T = TypeVar("T")
REMOTE = "perennial"
SECTION = f"'remote \"{REMOTE}\"'"
IGNORED = ".draft-*"
PATIENCE = 60.0
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def mark_pending(project: Project, experience: str) -> None:
    """Note, before an experience becomes visible, that data/ will hold more than its last version."""
    write_text(_pending(project), f"{experience}\n")


@dataclass(frozen=True)
class DataVersions:
    """DVC over a project's data/, with one remote."""

    project: Project
    remote: str

    def initialise(self) -> None:
        """Set DVC up in the project's folder, as often as you like.

        Raises:
            StoreError: DVC refuses.
        """
        root = self.project.root
        if not (root / ".dvc" / "config").is_file():
            with _quietly(root):
                from dvc.repo import Repo

                alone = not (root / ".git").exists()
                Repo.init(str(root), no_scm=alone, force=(root / ".dvc").exists()).close()
        self._configure()
        ignore = root / ".dvcignore"
        lines = ignore.read_text(encoding="utf-8").splitlines() if ignore.exists() else []
        if IGNORED not in lines:
            write_text(ignore, "\n".join([*lines, IGNORED, ""]))

    def commit(self) -> str:
        """Version data/ as it is, push it, and return its hash; at once when nothing was added.

        Raises:
            StoreError: DVC or its remote refuses, or rows that were versioned before are damaged.
        """
        known = self.current()
        if known is not None and self.is_clean():
            return known
        self.initialise()
        self.project.data.mkdir(exist_ok=True)
        before = self._file.read_text(encoding="utf-8") if known else None
        self._with_repo(lambda repo: repo.add(str(self.project.data)))
        self._refuse_damaged(known, before)
        self._with_repo(lambda repo: repo.push(targets=[str(self._file)]))
        _pending(self.project).unlink(missing_ok=True)
        version = self.current()
        if version is None:
            raise StoreError(f"{self._file}: DVC did not write it")
        log.info("data/ is at version %s", version)
        return version

    def current(self) -> str | None:
        """Return the hash of the last version, None before the first.

        Raises:
            StoreError: data.dvc is damaged.
        """
        try:
            return str(yaml.safe_load(self._file.read_text(encoding="utf-8"))["outs"][0]["md5"])
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, IndexError, TypeError):
            raise StoreError(f"{self._file}: is damaged; remove it, and data/ is versioned anew") from None

    def is_clean(self) -> bool:
        """Tell whether every experience under data/ is in the last version."""
        return not _pending(self.project).exists() and self._file.exists()

    def restore(self, version: str) -> None:
        """Bring data/ back to a version, from the remote if need be: another machine goes on.

        Args:
            version: the text of its data.dvc, or its hash.

        Raises:
            StoreError: data/ holds experiences that no version has, or the version cannot be had.
        """
        if _pending(self.project).exists():
            raise StoreError(f"{self.project.data}: holds experiences without a version; `cl run` first")
        self.initialise()
        before = self._file.read_text(encoding="utf-8") if self._file.exists() else None
        write_text(self._file, version if ":" in version else _pointer(version))
        try:
            self._with_repo(lambda repo: repo.pull(targets=[str(self._file)]))
        except StoreError:
            self._go_back(before)
            raise

    def _refuse_damaged(self, known: str | None, before: str | None) -> None:
        """Undo a version that would hold damaged rows: the one before still has them whole."""
        from cl.stores.unchanged import refuse_damaged  # which needs drafts, and they this file

        try:
            refuse_damaged(self.project, known, self.current())
        except StoreError:
            if before is not None:
                write_text(self._file, before)
            raise

    def _go_back(self, before: str | None) -> None:
        """Undo a restore that failed: DVC may have emptied data/ already, and its cache still has the rows."""
        if before is None:
            self._file.unlink()
            return
        write_text(self._file, before)
        self._with_repo(lambda repo: repo.checkout(targets=[str(self._file)], force=True))

    @property
    def _file(self) -> Path:
        return self.project.root / "data.dvc"

    def _configure(self) -> None:
        """Write the remote into DVC's configuration, relative to it where it lies inside the project."""
        path = self.project.root / ".dvc" / "config"
        config = configparser.ConfigParser(interpolation=None)
        try:
            config.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError) as error:
            raise StoreError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
        before = {name: dict(config[name]) for name in config.sections()}
        wanted = {"core": {"analytics": "false", "remote": REMOTE}, SECTION: {"url": self._url(path.parent)}}
        config.read_dict(wanted)
        if before != {name: dict(config[name]) for name in config.sections()}:
            text = io.StringIO()
            config.write(text)
            write_text(path, text.getvalue())

    def _url(self, beside: Path) -> str:
        inside = "://" not in self.remote and Path(self.remote).is_relative_to(self.project.root)
        return os.path.relpath(self.remote, beside) if inside else self.remote

    def _with_repo(self, do: Callable[[Repo], T]) -> T:
        """Call DVC, again and again while another DVC command holds its lock."""
        from dvc.lock import LockError

        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with _quietly(self.project.root):
                    from dvc.repo import Repo

                    with Repo(str(self.project.root)) as repo:
                        return do(repo)
            except LockError:
                if time.monotonic() > deadline:
                    raise StoreError(f"{self.project.root}: another DVC command holds .dvc/tmp/lock") from None
                time.sleep(0.5)


@contextlib.contextmanager
def _quietly(root: Path) -> Iterator[None]:
    """Keep DVC's hints, bars and warnings off the terminal, and turn its errors into ours."""
    from dvc.lock import LockError
    from dvc.logger import set_loggers_level

    silence = io.StringIO()
    try:
        with (
            set_loggers_level(logging.CRITICAL),
            contextlib.redirect_stdout(silence),
            contextlib.redirect_stderr(silence),
        ):
            yield
    except LockError:
        raise
    except Exception as error:
        told = " ".join(COLOUR.sub("", str(error)).split()) or type(error).__name__
        raise StoreError(f"{root}: DVC: {told}") from error


def _pending(project: Project) -> Path:
    return project.work / "pending"


def _pointer(version: str) -> str:
    return yaml.safe_dump({"outs": [{"md5": version, "hash": "md5", "path": "data"}]}, sort_keys=False)
