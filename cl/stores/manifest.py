"""What a version may consist of: data that is read as data. Nothing in it is run, unpickled, or leads elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from cl.errors import IntegrityError
from cl.stores.files import sha256, write_text

# weights and tensors, graphs of operations on them, settings, rows, words for people, and the plain and sentence-piece
# vocabularies of tokenizers
KINDS = (".safetensors", ".onnx", ".json", ".parquet", ".txt", ".md", ".model", ".jinja")
CODE = ("auto_map", "custom_pipelines")
"""Keys by which transformers would fetch and run code that lies beside a model."""


def check_admitted(folder: Path, names: Iterable[str]) -> None:
    """Look at the names and the settings of all files, before any of them is read as what it says it is.

    Args:
        folder: of the version.
        names: of its files, as they are there and as its manifest promises them.

    Raises:
        IntegrityError: a file lies outside the folder, is a symbolic link, is of another kind (a pickle, a script), or
            asks for code of its own; the message names it.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise IntegrityError(f"{folder}: {path.relative_to(folder)} is a symbolic link; a version holds files only")
    for name in sorted(names):
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts:
            raise IntegrityError(f"{folder}: {name} leads out of the version")
        if parts.suffix not in KINDS:
            kinds = ", ".join(KINDS)
            raise IntegrityError(f"{folder}: {name} is of a kind that no version holds; only {kinds} are read")
        if parts.suffix == ".json" and (folder / name).is_file():
            _refuse_code(folder, name)


def check_wrapping(folder: Path, learner: Path) -> None:
    """Look at what MLflow has put around a learner: models from code have no pickle.

    Raises:
        IntegrityError: there is a file that only a pickle's reader would open.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_relative_to(learner) and path.suffix in (".pkl", ".pickle", ".bin", ".pt"):
            raise IntegrityError(f"{folder.name}: {path.relative_to(folder)} is a pickle; no version holds one")


def _refuse_code(folder: Path, name: str) -> None:
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise IntegrityError(f"{folder}: {name} is no JSON") from None
    if isinstance(content, dict) and (key := next((one for one in CODE if one in content), None)):
        raise IntegrityError(f"{folder}: {name} asks for code of its own ({key}); only built-in models are read")


MANIFEST = "manifest.json"


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


def move_sealed_into_place(draft: Path, folder: Path) -> None:
    """Rename a whole version to its place; another process that brought the same one first is as good.

    Raises:
        IntegrityError: what lies there is not what its manifest says.
    """
    try:
        draft.rename(folder)
    except OSError:
        check_manifest(folder)
