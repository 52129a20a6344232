"""Store equal files once, as hard links: several names of one file, which every reader takes for ordinary files.

A name that is deleted leaves the others, so that no version depends on another's life, and the bytes are freed with
the last name. A file that is changed in place changes under all of its names; the manifests of all of them say so.
Where a link cannot be made (another device, a file system without links, a file of somebody else) there are copies.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from cl.errors import IntegrityError
from cl.stores.files import sha256
from cl.stores.manifest import read_digests

SHARED_BYTES = 64 * 1024
"""Smaller files of a version are not worth a comparison with those of others."""
LINKED_BYTES = 1024 * 1024
"""Smaller files are copied out of a store, because people edit them, and some editors write in place."""
LINKED_BINARY_BYTES = 16 * 1024
"""The same of files that nobody edits."""
BINARY_SUFFIXES = (".safetensors", ".parquet", ".onnx")
KnownFiles = dict[tuple[str, int], Path]
"""SHA-256 and size -> a file that should have them."""
UNFINISHED_LINK = ".linking-"
"""Prefix of a link that is about to replace an equal file."""


def is_worth_sharing(path: Path, size: int) -> bool:
    """Return whether a file of so many bytes is compared with those of other versions in the same store."""
    return size >= SHARED_BYTES


def is_linked(path: Path, size: int) -> bool:
    """Return whether a copy of a version has a file of so many bytes as a link."""
    return size >= (LINKED_BINARY_BYTES if path.suffix in BINARY_SUFFIXES else LINKED_BYTES)


def copy_or_link(source: Path, target: Path) -> None:
    """Give a file that `is_linked` a second name, and copy another, or one that cannot be linked."""
    if is_linked(source, source.stat().st_size) and not source.is_symlink():
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    shutil.copy2(source, target)


def copy_or_link_folder(source: Path, target: Path) -> Path:
    """Make a new folder with the files of another, the large ones as links, which must not be written to.

    Raises:
        OSError: a file cannot be read, or disappears meanwhile.
    """
    target.mkdir()
    for path in sorted(source.rglob("*")):
        if path.is_dir():
            (target / path.relative_to(source)).mkdir()
        else:
            copy_or_link(path, target / path.relative_to(source))
    return target


def share_equal_files(
    folder: Path, others: Iterable[Path], scratch: Path, *, which: Callable[[Path, int], bool] = is_worth_sharing
) -> int:
    """Replace files of a sealed folder by links to equal files of other sealed folders; return the bytes saved.

    Manifests say which files may be equal; a file is linked only if its content is what they say. Killed at any
    moment, each file is there with the same content as before.

    Args:
        folder: whose files are replaced.
        others: with files to share; those without a readable manifest are ignored.
        scratch: a folder on the same device that holds no version.
        which: says of a file and its size in bytes whether it is shared.
    """
    known: KnownFiles = {}
    for other in others:
        _remember(other, known)
    return _share_known(folder, known, scratch, which)


def share_among(folders: Iterable[Path], scratch: Path) -> int:
    """Let each sealed folder share files with those before it, as `share_equal_files` does; return the bytes saved."""
    known: KnownFiles = {}
    saved = 0
    for folder in folders:
        saved += _share_known(folder, known, scratch, is_worth_sharing)
        _remember(folder, known)
    return saved


def remove_unfinished_links(scratch: Path) -> None:
    """Remove what killed processes have left of `share_equal_files`: a name would keep the bytes of a deleted file."""
    for path in scratch.glob(f"{UNFINISHED_LINK}*"):
        path.unlink(missing_ok=True)


def _remember(folder: Path, known: KnownFiles) -> None:
    """Add the files that a folder's manifest lists to those known; the first of equal files stays."""
    for name, digest in _digests(folder).items():
        if (folder / name).is_file():
            known.setdefault((digest, (folder / name).stat().st_size), folder / name)


def _share_known(folder: Path, known: KnownFiles, scratch: Path, which: Callable[[Path, int], bool]) -> int:
    saved = 0
    for name, digest in _digests(folder).items():
        path = folder / name
        size = path.stat().st_size if path.is_file() else 0
        twin = known.get((digest, size))
        if twin is not None and which(path, size):
            with contextlib.suppress(OSError):  # the other folder is removed meanwhile, or links cannot be made
                saved += _share(path, twin, digest, scratch)
    return saved


def _share(path: Path, twin: Path, digest: str, scratch: Path) -> int:
    """Replace a file by a second name of its twin if that has the digest; return the bytes saved."""
    if path.samefile(twin) or sha256(twin) != digest:
        return 0
    size, draft = path.stat().st_size, scratch / f"{UNFINISHED_LINK}{uuid.uuid4().hex}"
    try:
        os.link(twin, draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return size


def _digests(folder: Path) -> dict[str, str]:
    try:
        return read_digests(folder)
    except (IntegrityError, OSError):
        return {}


def share_files(pairs: Iterable[tuple[Path, Path]], scratch: Path) -> int:
    """Replace each first file by a second name of its twin, where both are there and equal; return the bytes saved."""
    saved = 0
    for path, twin in pairs:
        with contextlib.suppress(OSError):  # one is not there, or links cannot be made
            if path.stat().st_size == twin.stat().st_size:
                saved += _share(path, twin, sha256(path), scratch)
    return saved


def freed_bytes(paths: Iterable[Path]) -> int:
    """Return the bytes that removing files and folders frees: of a file with several names, once the last one goes."""
    names: Counter[tuple[int, int]] = Counter()
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    for path in paths:
        for file in [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]:
            state = file.lstat()
            names[state.st_dev, state.st_ino] += 1
            sizes[state.st_dev, state.st_ino] = state.st_size, state.st_nlink
    return sum(size for key, (size, links) in sizes.items() if names[key] >= links)
