"""What a version may consist of: data that is read as data. Nothing in it is run, unpickled, or leads elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from cl.errors import IntegrityError

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
