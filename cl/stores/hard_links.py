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
from collections.abc import Iterable
from pathlib import Path

from cl.errors import IntegrityError
from cl.stores.files import sha256
from cl.stores.manifest import read_digests

SHARED_BYTES = 64 * 1024
"""Smaller files of a version are not worth a comparison with those of others."""
LINKED_BYTES = 1024 * 1024
"""Smaller files are copied out of a store, because people edit them, and some editors write in place."""
UNFINISHED_LINK = ".linking-"
"""Prefix of a link that is about to replace an equal file."""


def copy_or_link(source: str | Path, target: str | Path) -> None:
    """Give a large file a second name, and copy a small one, or one that cannot be linked."""
    source = Path(source)
    if source.stat().st_size >= LINKED_BYTES and not source.is_symlink():
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    shutil.copy2(source, target)


def copy_or_link_folder(source: Path, target: Path) -> Path:
    """Make a new folder with the files of another, the large ones as links, which must not be written to.

    Raises:
        OSError: a file cannot be read, or disappears meanwhile.
    """
    return Path(shutil.copytree(source, target, copy_function=copy_or_link))


def share_equal_files(folder: Path, others: Iterable[Path], scratch: Path, *, smallest: int = SHARED_BYTES) -> int:
    """Replace files of a sealed folder by links to equal files of other sealed folders; return the bytes saved.

    Manifests say which files may be equal; a file is linked only if its content is what they say. Killed at any
    moment, each file is there with the same content as before.

    Args:
        folder: whose files are replaced.
        others: with files to share; those without a readable manifest are ignored.
        scratch: a folder on the same device that holds no version.
        smallest: size in bytes from which files are shared.
    """
    known = {
        (digest, (other / name).stat().st_size): other / name
        for other in others
        for name, digest in _digests(other).items()
        if (other / name).is_file()
    }
    saved = 0
    for name, digest in _digests(folder).items():
        path = folder / name
        size = path.stat().st_size if path.is_file() else 0
        twin = known.get((digest, size))
        if size >= smallest and twin is not None:
            with contextlib.suppress(OSError):  # the other folder is removed meanwhile, or links cannot be made
                saved += _share(path, twin, digest, scratch)
    return saved


def remove_unfinished_links(scratch: Path) -> None:
    """Remove what killed processes have left of `share_equal_files`: a name would keep the bytes of a deleted file."""
    for path in scratch.glob(f"{UNFINISHED_LINK}*"):
        path.unlink(missing_ok=True)


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
