"""The versions of data/, managed with DVC; no other file imports dvc."""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import io
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import yaml

from cl.errors import StoreError
from cl.extras import require
from cl.process.progress import stage
from cl.redaction import format_traceback, without_password
from cl.stores.data.integrity import check_undamaged, find_new, list_objects, version_matches
from cl.stores.files import DRAFTS, write_text
from cl.stores.project_folder import ProjectFolder, pending_file

if TYPE_CHECKING:
    from dvc.repo import Repo

log = logging.getLogger(__name__)
T = TypeVar("T")
REMOTE = "perennial"
SECTION = f"'remote \"{REMOTE}\"'"
IGNORED = (".draft-*", DRAFTS, "/.cl", "/mlflow", "/predictions", "/reports")
"""What is no part of a version: experiences in the making, files that were not finished; and folders without data,
which DVC would search through at every command."""
MOST_NEW = 8
"""New paths that are added one by one; more of them are added together with all of data/."""
DRIVERS = {"s3": "dvc_s3", "ssh": "dvc_ssh"}
"""Packages with which DVC reaches a remote, by the scheme of its URL."""
LOCK_TIMEOUT = 60.0
DAMAGED = re.compile(r"object (\w{32}(?:\.dir)?) is corrupted")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class DataVersions:
    """The DVC versions of a project's data/, with one remote."""

    project: ProjectFolder
    remote: str

    def initialise(self) -> bool:
        """Set up DVC in the project's folder; repeated calls are harmless. Return whether the remote is a new one.

        Raises:
            StoreError: DVC fails.
        """
        root = self.project.root
        if not (root / ".dvc" / "config").is_file():
            with _quietly(root):
                from dvc.repo import Repo

                alone = not (root / ".git").exists()
                Repo.init(str(root), no_scm=alone, force=(root / ".dvc").exists()).close()
        is_new_remote = self._configure()
        ignore = root / ".dvcignore"
        lines = ignore.read_text(encoding="utf-8").splitlines() if ignore.exists() else []
        if missing := [pattern for pattern in IGNORED if pattern not in lines]:
            write_text(ignore, "\n".join([*lines, *missing, ""]))
        return is_new_remote

    def commit(self) -> str:
        """Create a version of data/, push it and return its hash; return at once if nothing was added.

        Raises:
            StoreError: DVC or its remote fails, or rows of an earlier version are damaged.
        """
        known = self.current()
        if known is not None and self.is_clean():
            return known
        with stage("version the data with DVC"):
            version = self._commit(known)
        self._write_local_version(version)
        pending_file(self.project).unlink(missing_ok=True)
        log.info("data/ is at version %s", version)
        return version

    def _commit(self, known: str | None) -> str:
        is_new_remote = self.initialise()
        self.project.data.mkdir(exist_ok=True)
        before = self._file.read_text(encoding="utf-8") if known else None
        new = None if known is None or is_new_remote else self._new_paths(known)
        self._add(new)
        self._reject_damaged(known, before)
        self._push(known if new is not None else None)
        version = self.current()
        if version is None:
            raise StoreError(f"{self._file}: DVC did not write it")
        return version

    def current(self) -> str | None:
        """Return the hash of the last version, or None before the first.

        Raises:
            StoreError: data.dvc is damaged.
        """
        try:
            return str(yaml.safe_load(self._file.read_text(encoding="utf-8"))["outs"][0]["md5"])
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, IndexError, TypeError):
            raise StoreError(f"{self._file}: is damaged; remove it to version data/ from scratch") from None

    def is_here(self) -> bool:
        """Return whether data/ on this machine is the version that data.dvc names."""
        wanted = self.current()
        if wanted is None:
            return True
        if not self._version_file.exists():  # versioned by an older release, or a fresh clone
            return self.project.experiences.is_dir()
        return self.project.data.is_dir() and self._version_file.read_text(encoding="utf-8") == wanted

    def bring(self) -> None:
        """Download the version of data/ that data.dvc names: after a clone, or after git pulled a newer data.dvc.

        Raises:
            StoreError: data/ holds experiences that data.dvc does not know, or the version is not available.
        """
        wanted = self.current()
        if wanted is None or self.is_here():
            return
        if pending_file(self.project).exists():
            if version_matches(self.project, wanted):  # killed during `commit` on this machine, which will finish it
                return
            raise StoreError(
                f"{self._file}: names another version now, and {self.project.data} holds experiences that it does not "
                "know; restore the old data.dvc, `cl run`, then ingest here what the other machine has"
            )
        try:
            self.restore(self._file.read_text(encoding="utf-8"))
        except StoreError as error:
            raise StoreError(f"{error}; run `dvc push` on the machine that has version {wanted}") from None

    def is_clean(self) -> bool:
        """Return whether every experience under data/ is in the last version."""
        return not pending_file(self.project).exists() and self._file.exists()

    def restore(self, version: str) -> None:
        """Restore data/ to a version, from the remote if necessary.

        Args:
            version: the text of its data.dvc, or its hash.

        Raises:
            StoreError: data/ holds experiences that are in no version, or the version is not available.
        """
        if pending_file(self.project).exists():
            raise StoreError(f"{self.project.data}: holds experiences without a version; `cl run` first")
        self.initialise()
        before = self._file.read_text(encoding="utf-8") if self._file.exists() else None
        write_text(self._file, version if ":" in version else _pointer(version))
        try:
            with stage("fetch the data with DVC"):
                self._with_repo(lambda repo: repo.pull(targets=[str(self._file)]))
        except StoreError:
            self._undo_restore(before)
            raise
        self._write_local_version(str(self.current()))

    def replaced(self, before: str, after: str) -> list[str]:
        """Return the objects of one version that another lacks: the files that changed, and the listing.

        Raises:
            StoreError: a version is not in DVC's cache.
        """
        old, new = self._with_repo(lambda repo: [_listing(repo, version) for version in (before, after)])
        return sorted({before, *old} - {after, *new})

    def erase(self, objects: list[str], *, remote: bool) -> None:
        """Delete objects from DVC's cache on this machine and, with ``remote``, from the remote.

        A remote inside the project is on this machine and is treated like the cache.

        Raises:
            StoreError: the cache or the remote fails.
        """
        if remote:
            self._require_driver()

        def delete_objects(repo: Repo) -> None:
            remotes = [repo.cloud.get_remote_odb(REMOTE)] if remote or self._is_inside else []
            for store in [repo.cache.local, *remotes]:
                for digest in filter(store.exists, objects):
                    store.delete(digest)

        self._with_repo(delete_objects)

    def _reject_damaged(self, known: str | None, before: str | None) -> None:
        """Undo a version that would contain damaged rows: the previous version still has them intact."""
        try:
            check_undamaged(self.project, known, self.current())
        except StoreError:
            if before is not None:
                write_text(self._file, before)
            raise

    def _undo_restore(self, before: str | None) -> None:
        """Undo a failed restore: DVC may have emptied data/ already, but its cache still has the rows."""
        if before is None:
            self._file.unlink()
            return
        write_text(self._file, before)
        self._with_repo(lambda repo: repo.checkout(targets=[str(self._file)], force=True))

    @property
    def _version_file(self) -> Path:
        return self.project.work / "data-version"

    def _write_local_version(self, version: str) -> None:
        """Record the version of data/ on this machine: git may update data.dvc, but not data/."""
        write_text(self._version_file, version)

    @property
    def _file(self) -> Path:
        return self.project.root / "data.dvc"

    def _configure(self) -> bool:
        """Write the remote, as a relative path if it is inside the project; return whether it is a new one."""
        self._require_driver()
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
            return True
        return False

    def _require_driver(self) -> None:
        """Check that the package with which DVC reaches the remote is installed."""
        scheme = self.remote.partition("://")[0]
        if scheme in DRIVERS:
            require(f"{without_password(self.remote)}: DVC", DRIVERS[scheme], error=StoreError)

    def _url(self, folder: Path) -> str:
        return os.path.relpath(self.remote, folder) if self._is_inside else self.remote

    @property
    def _is_inside(self) -> bool:
        return "://" not in self.remote and Path(self.remote).is_relative_to(self.project.root)

    def _with_repo(self, operation: Callable[[Repo], T]) -> T:
        """Run an operation on the DVC repository; retry while another DVC command holds its lock."""
        from dvc.lock import LockError
        from dvc_objects.errors import ObjectFormatError

        deadline, damaged = time.monotonic() + LOCK_TIMEOUT, set[str]()
        while True:
            try:
                with _quietly(self.project.root):
                    from dvc.repo import Repo

                    with Repo(str(self.project.root)) as repo:
                        return operation(repo)
            except ObjectFormatError as error:  # a process was killed as it wrote this object to a cache
                if str(error) in damaged:
                    raise StoreError(f"{self.project.root}: DVC: {error}") from None
                damaged.add(str(error))
                self._remove_damaged(str(error))
            except LockError:
                if time.monotonic() > deadline:
                    raise StoreError(
                        f"{self.project.root}: another DVC command holds .dvc/tmp/lock; try again when it has finished"
                    ) from None
                time.sleep(0.5)

    def _new_paths(self, known: str) -> list[Path] | None:
        """Return what the last version lacks, if this machine has finished that version, and all else is unchanged."""
        if not self._version_file.exists() or self._version_file.read_text(encoding="utf-8") != known:
            return None
        new = find_new(self.project, known, since=self._version_file.stat().st_mtime_ns)
        return new if new and len(new) <= MOST_NEW else None

    def _push(self, known: str | None) -> None:
        """Push what a version has and a ``known`` one lacks, which is in the remote; None: everything."""
        if known is None:
            self._with_repo(lambda repo: repo.push(targets=[str(self._file)]))
            return
        from dvc_data.hashfile.hash_info import HashInfo

        version = self.current()
        objects = {version, *(list_objects(self.project, version) - list_objects(self.project, known))}
        hashes = [HashInfo("md5", name) for name in objects]
        pushed = self._with_repo(lambda repo: repo.cloud.push(hashes, remote=REMOTE))
        if pushed.failed:
            raise StoreError(f"{self.project.root}: DVC: {len(pushed.failed)} files could not be pushed to the remote")

    def _add(self, new: list[Path] | None) -> None:
        """Add the new paths, or all of data/; a listing that was left half-written in the cache is written again.

        Files stay as they are: to put a link in the place of one, DVC would remove it first, and a kill in between
        would lose it.
        """
        for path in new or [self.project.data]:
            self._with_repo(methodcaller("add", str(path), relink=False))
        version = self.current()
        listing = self._cached(version) if version else None
        if listing is not None and listing.is_file() and f"{_md5(listing)}.dir" != version:
            log.warning("DVC: object %s is damaged; it is written again", version)
            listing.unlink()
            self._with_repo(lambda repo: repo.add(str(self.project.data), relink=False))

    def _cached(self, name: str) -> Path:
        """Return where the local cache keeps an object."""
        return self.project.root / ".dvc" / "cache" / "files" / "md5" / name[:2] / name[2:]

    def _remove_damaged(self, message: str) -> None:
        """Remove the object that DVC names from the cache and the remote where it is damaged; it is written again."""
        from dvc_objects.errors import ObjectFormatError

        name = DAMAGED.search(message)
        if name is None:
            return
        log.warning("DVC: %s; it is written again", message)

        def remove(repo: Repo) -> None:
            for store in (repo.cache.local, repo.cloud.get_remote_odb(REMOTE)):
                with contextlib.suppress(ObjectFormatError, FileNotFoundError):
                    store.check(name[1])  # removes the object if its content does not have its name's digest

        with _quietly(self.project.root):
            from dvc.repo import Repo

            with Repo(str(self.project.root)) as repo:
                remove(repo)


@contextlib.contextmanager
def _quietly(root: Path) -> Iterator[None]:
    """Keep DVC's hints, progress bars and warnings off the terminal, and turn its errors into StoreErrors."""
    from dvc.lock import LockError
    from dvc.logger import set_loggers_level
    from dvc_objects.errors import ObjectFormatError

    silence = io.StringIO()
    try:
        with (
            set_loggers_level(logging.CRITICAL),
            contextlib.redirect_stdout(silence),
            contextlib.redirect_stderr(silence),
        ):
            yield
    except (LockError, ObjectFormatError):
        raise
    except Exception as error:
        log.info("DVC: %s", format_traceback(error))
        message = " ".join(COLOUR.sub("", str(error)).split()) or type(error).__name__
        raise StoreError(f"{root}: DVC: {without_password(message)}") from None


def _md5(path: Path) -> str:
    """Return the digest that DVC names its objects by."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _listing(repo: Repo, version: str) -> list[str]:
    """Return the objects of a version of data/."""
    entries = json.loads(Path(repo.cache.local.oid_to_path(version)).read_text(encoding="utf-8"))
    return [entry["md5"] for entry in entries]


def _pointer(version: str) -> str:
    return yaml.safe_dump({"outs": [{"md5": version, "hash": "md5", "path": "data"}]}, sort_keys=False)
