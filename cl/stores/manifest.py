"""Check what a version contains: only files that are read as data, no code, no pickles, no links."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from cl.errors import IntegrityError
from cl.stores.files import remove_drafts, sha256, write_text

# weights and tensors, ONNX graphs, settings, rows, text for people, and the plain and SentencePiece vocabularies of
# tokenizers
ALLOWED_SUFFIXES = (".safetensors", ".onnx", ".json", ".parquet", ".txt", ".md", ".model", ".jinja")
CODE_KEYS = ("auto_map", "custom_pipelines")
"""Keys that make transformers fetch and run code stored with a model."""


def check_admitted(folder: Path, names: Iterable[str]) -> None:
    """Check the names and settings of all files, before the content of any file is used.

    Args:
        folder: the folder of the version.
        names: its files, both those present and those listed in its manifest.

    Raises:
        IntegrityError: a file lies outside the folder, is a symbolic link, has another suffix (a pickle, a script), or
            asks for custom code; the message names it.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise IntegrityError(
                f"{folder}: {path.relative_to(folder)} is a symbolic link; a version may only hold files"
            )
    for name in sorted(names):
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts:
            raise IntegrityError(f"{folder}: {name} points outside the version")
        if parts.suffix not in ALLOWED_SUFFIXES:
            kinds = ", ".join(ALLOWED_SUFFIXES)
            raise IntegrityError(f"{folder}: {name} has a suffix that no version may hold; allowed: {kinds}")
        if parts.suffix == ".json" and (folder / name).is_file():
            _reject_code(folder, name)


WRAPPING = ("MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", "pyfunc_model.py")
"""The files that MLflow puts around a learner: its settings, and the code by which a stock client loads the version."""
UNPINNED = "registered_model_meta"
"""Written by MLflow when it downloads a version."""


def wrapping_digests(folder: Path, learner: Path) -> dict[str, str]:
    """Return name -> SHA-256 of the files that MLflow puts around a learner."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_relative_to(learner)]
    names = {str(path.relative_to(folder)): path for path in paths}
    return {name: sha256(path) for name, path in names.items() if name != UNPINNED}


def check_wrapping(folder: Path, learner: Path, pinned: Mapping[str, str] | None) -> None:
    """Check the files that MLflow puts around a learner, before any of them is used.

    Args:
        folder: the version as MLflow stores it.
        learner: the learner's folder in it.
        pinned: their digests when the version was registered; None: it is older than these, and only names are checked.

    Raises:
        IntegrityError: a file was changed, added or removed since; the message names it.
    """
    present = wrapping_digests(folder, learner)
    for name in sorted({*present, *(pinned or ())}):
        if name not in (WRAPPING if pinned is None else pinned):
            raise IntegrityError(f"{folder.name}: {name} was not registered with the version")
        if name not in present:
            raise IntegrityError(f"{folder.name}: {name} is missing")
        if pinned is not None and present[name] != pinned[name]:
            raise IntegrityError(f"{folder.name}: {name} was changed after it was registered (digest differs)")


def _reject_code(folder: Path, name: str) -> None:
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise IntegrityError(f"{folder}: {name} is not valid JSON") from None
    if isinstance(content, dict) and (key := next((word for word in CODE_KEYS if word in content), None)):
        raise IntegrityError(f"{folder}: {name} asks for custom code ({key}); only built-in models are loaded")


MANIFEST = "manifest.json"


def write_manifest(folder: Path) -> None:
    """Write the digests of all files in a folder to its manifest.

    Raises:
        IntegrityError: there is a file that `check_manifest` would reject.
    """
    remove_drafts(folder)  # of a process that was killed as it wrote one of the files
    names = _list_files(folder)
    check_admitted(folder, names)
    digests = {name: sha256(folder / name) for name in names}
    write_text(folder / MANIFEST, json.dumps(digests, indent=1, sort_keys=True))


def check_manifest(folder: Path, pinned: str | None = None) -> None:
    """Compare a folder with its manifest.

    Args:
        folder: of the version.
        pinned: SHA-256 of the manifest when the version was registered; None: it is not known.

    Raises:
        IntegrityError: a file is missing, added, changed or of a kind that no version may hold, or the manifest itself
            is not the registered one; the message names it.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise IntegrityError(f"{folder}: no {MANIFEST}; this is not a complete version")
    expected, present = read_digests(folder), set(_list_files(folder))
    check_admitted(folder, present | set(expected))
    for name in sorted(present | set(expected)):
        if name not in expected:
            raise IntegrityError(f"{folder}: {name} is not in the manifest")
        if name not in present:
            raise IntegrityError(f"{folder}: {name} is missing")
        if sha256(folder / name) != expected[name]:
            raise IntegrityError(f"{folder}: {name} was changed after it was saved (digest differs)")
    if pinned and sha256(manifest) != pinned:
        raise IntegrityError(f"{folder}: {MANIFEST} is not the one that was registered (digest differs)")


def read_digests(folder: Path) -> dict[str, str]:
    """Return name -> SHA-256 of the files that a folder's manifest lists, unchecked.

    Raises:
        IntegrityError: the manifest cannot be parsed.
        OSError: there is none.
    """
    try:
        expected = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError):
        expected = None
    if not isinstance(expected, dict):
        raise IntegrityError(f"{folder}: {MANIFEST} is damaged; this is not a complete version")
    return expected


def _list_files(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST
    )


def move_sealed_into_place(draft: Path, folder: Path) -> None:
    """Move a complete version to its final folder; if another process did so first, keep and check its copy.

    Raises:
        IntegrityError: that copy does not match its manifest.
    """
    try:
        draft.rename(folder)
    except OSError:
        check_manifest(folder)
