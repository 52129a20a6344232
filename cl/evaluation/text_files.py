"""Read text files of a project that evaluations use: one text a line."""

from __future__ import annotations

from pathlib import Path

from cl.errors import ConfigError

GENERAL = Path(__file__).with_name("general_texts.txt")
"""Short general texts in several fields, written for this package."""


def read_lines(file: str, root: Path, *, key: str) -> list[str]:
    """Return the lines of a file in the project, without blank ones.

    Args:
        file: its path, relative to the project.
        root: the project's folder.
        key: where the configuration names the file.

    Raises:
        ConfigError: the file cannot be read, or is outside the project.
    """
    path = (root / file).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ConfigError(f"{key}: '{file}' is outside the project {root}")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{key}: {path} cannot be read: {error}") from None
    return [line.strip() for line in lines if line.strip()]


def read_general(file: str | None, root: Path) -> list[str]:
    """Return the general texts: those of a file in the project; None: those that ship with the package.

    Raises:
        ConfigError: the file cannot be read, is outside the project, or has no text.
    """
    if file is None:
        return GENERAL.read_text(encoding="utf-8").splitlines()
    texts = read_lines(file, root, key="evaluation.general_rows")
    if not texts:
        raise ConfigError(f"evaluation.general_rows: '{file}' has no text; write one a line, or set it to null")
    return texts
