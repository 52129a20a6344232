"""Query a version in a fresh process, downloaded and loaded as a serving process would load it.

The code that is stored with a version, by which a stock MLflow client loads it, is checked and never run here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cl.errors import IntegrityError, UnservableError
from cl.heavy import pd
from cl.redaction import without_password

if TYPE_CHECKING:
    from cl.stores.mlflow.registry import Registry

SECONDS = 600
"""A version that has not answered within this time is unservable."""
MAX_MESSAGE_LENGTH = 300
"""Characters of the process's error message that are reported."""
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def answer_in_fresh_process(registry: Registry, version: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Return a version's predictions for rows, made by a fresh process from what the registry holds, offline.

    Args:
        registry: holds the version.
        version: the version to load.
        rows: rows with the task's input column only.

    Raises:
        UnservableError: a file is not as it was registered, or the process failed (the message is its last line), or
            took longer than ten minutes.
        StoreError: the registry is unreachable, or has no such version.
    """
    with tempfile.TemporaryDirectory(prefix="perennial-smoke-") as scratch:
        try:
            registry.download(version, Path(scratch) / "version")
        except IntegrityError as error:
            raise UnservableError(str(error)) from None
        input_file, output_file = Path(scratch) / "rows.json", Path(scratch) / "answers.json"
        input_file.write_text(json.dumps({name: rows[name].map(_to_json).tolist() for name in rows}), encoding="utf-8")
        command = [sys.executable, "-m", __name__, scratch]
        try:
            process = subprocess.run(
                command, env={**os.environ, **OFFLINE}, capture_output=True, text=True, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            raise UnservableError(f"it did not answer within {SECONDS} seconds") from None
        if process.returncode or not output_file.exists():
            raise UnservableError(_describe_failure(process))
        return pd.DataFrame(json.loads(output_file.read_text(encoding="utf-8")))


def _describe_failure(process: subprocess.CompletedProcess[str]) -> str:
    if process.returncode < 0:
        return f"its process was killed by signal {-process.returncode}"
    lines = [line.strip() for line in process.stderr.splitlines() if line.strip()]
    return (
        without_password(lines[-1])[:MAX_MESSAGE_LENGTH]
        if lines
        else f"its process ended with code {process.returncode} and no message"
    )


def _to_json(value: Any) -> Any:
    """Return a cell as a JSON value: a text or a list of tokens."""
    return value if isinstance(value, str) else [str(token) for token in value]


def _load_and_answer(scratch: Path) -> None:
    """Load the version and write its predictions; this runs in the fresh process."""
    import cl

    version = cl.load_version(scratch / "version")
    rows = pd.DataFrame(json.loads((scratch / "rows.json").read_text(encoding="utf-8")))
    answers = version.predict(rows)
    draft = scratch / "answers.draft"
    draft.write_text(json.dumps({name: answers[name].tolist() for name in answers}), encoding="utf-8")
    draft.rename(scratch / "answers.json")


if __name__ == "__main__":
    _load_and_answer(Path(sys.argv[1]))
