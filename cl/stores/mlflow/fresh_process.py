"""Query a version in a fresh process, downloaded and loaded as a serving process would load it.

The process is a new interpreter, or where a command has one at hand a fork that was made before the cycle began: it
holds the libraries and nothing of the cycle, and so proves the same. The code that is stored with a version, by which a
stock MLflow client loads it, is checked and never run here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cl.errors import IntegrityError, UnservableError
from cl.heavy import pd
from cl.process.forks import CallTimeoutError, ForkServer, ForkServerLostError, can_fork
from cl.redaction import without_password

if TYPE_CHECKING:
    from cl.stores.mlflow.registry import Registry

SECONDS = 600
"""A version that has not answered within this time is unservable."""
MAX_MESSAGE_LENGTH = 300
"""Characters of the process's error message that are reported."""
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
_at_hand: ForkServer | None = None


@contextmanager
def fresh_process_at_hand() -> Iterator[None]:
    """Keep a process at hand that has this one's modules, and answers in place of new interpreters in this block.

    To be called when the libraries are imported and before anything is computed; where a fork is not safe, this does
    nothing.
    """
    global _at_hand
    if _at_hand is not None or not can_fork():
        yield
        return
    _at_hand = ForkServer(_load_and_answer_offline)
    try:
        yield
    finally:
        server, _at_hand = _at_hand, None
        server.close()


def answer_in_fresh_process(registry: Registry, version: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Return a version's predictions for rows, made by a fresh process from what the registry holds, offline.

    Args:
        registry: holds the version.
        version: the version to load.
        rows: rows with the task's input columns only.

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
        try:
            code, complaint = _run(Path(scratch))
        except (subprocess.TimeoutExpired, CallTimeoutError):
            raise UnservableError(f"it did not answer within {SECONDS} seconds") from None
        if code or not output_file.exists():
            raise UnservableError(_describe_failure(code, complaint))
        return pd.DataFrame(json.loads(output_file.read_text(encoding="utf-8")))


def _run(scratch: Path) -> tuple[int, str]:
    """Load the version and answer the rows of a folder in a fresh process; return its exit code and its complaint."""
    if _at_hand is not None:
        try:
            code = _at_hand.call(scratch, errors := scratch / "errors.txt", SECONDS)
            return code, errors.read_text(encoding="utf-8", errors="replace") if errors.exists() else ""
        except ForkServerLostError:  # a machine that is short of memory ends what waits
            pass
    command = [sys.executable, "-m", __name__, str(scratch)]
    process = subprocess.run(command, env={**os.environ, **OFFLINE}, capture_output=True, text=True, timeout=SECONDS)
    return process.returncode, process.stderr


def _describe_failure(code: int, complaint: str) -> str:
    if code < 0:
        return f"its process was killed by signal {-code}"
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    return (
        without_password(lines[-1])[:MAX_MESSAGE_LENGTH]
        if lines
        else f"its process ended with code {code} and no message"
    )


def _to_json(value: Any) -> Any:
    """Return a cell as a JSON value: a text, or a list of texts, integers or turns of a conversation."""
    if value is None or isinstance(value, str):
        return value
    return [part if isinstance(part, str | dict) else int(part) for part in value]


def _load_and_answer(scratch: Path) -> None:
    """Load the version and write its predictions; this runs in the fresh process."""
    import cl

    version = cl.load_version(scratch / "version")
    rows = pd.DataFrame(json.loads((scratch / "rows.json").read_text(encoding="utf-8")))
    answers = version.predict(rows)
    draft = scratch / "answers.draft"
    draft.write_text(json.dumps({name: answers[name].tolist() for name in answers}), encoding="utf-8")
    draft.rename(scratch / "answers.json")


def _load_and_answer_offline(scratch: Path) -> None:
    """Do the same in a fork, whose modules have read the environment already."""
    import huggingface_hub.constants

    os.environ.update(OFFLINE)
    huggingface_hub.constants.HF_HUB_OFFLINE = True
    _load_and_answer(scratch)


if __name__ == "__main__":
    _load_and_answer(Path(sys.argv[1]))
