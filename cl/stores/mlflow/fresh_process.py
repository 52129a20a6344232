"""A version as stock MLflow loads it, asked in a process of its own: what whoever serves it would get."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from cl.errors import UnservableError
from cl.stores.connectivity import without_password
from cl.stores.mlflow.environment import SETTINGS

SECONDS = 600
"""A version that has not answered after so long does not serve."""
LAST = 300
"""Characters of what the process complained of that are told."""
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def answer_in_fresh_process(tracking_uri: str, model: str, version: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Return what a version answers to rows when a fresh process loads it from the registry, offline.

    Args:
        tracking_uri: of the registry.
        model: its name there.
        version: of the model.
        rows: with the task's input column alone.

    Raises:
        UnservableError: the process failed, or took longer than ten minutes; the message is its last line.
    """
    with tempfile.TemporaryDirectory(prefix="perennial-smoke-") as scratch:
        asked, said = Path(scratch) / "rows.json", Path(scratch) / "answers.json"
        asked.write_text(json.dumps({name: rows[name].map(_plain).tolist() for name in rows}), encoding="utf-8")
        # the address may hold a password: in the environment it is hidden from whoever lists processes
        environment = {**SETTINGS, **os.environ, **OFFLINE, "MLFLOW_TRACKING_URI": tracking_uri}
        command = [sys.executable, "-m", __name__, f"models:/{model}/{version}", scratch]
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise UnservableError(f"it has not answered after {SECONDS} seconds") from None
        if done.returncode or not said.exists():
            raise UnservableError(_complaint(done))
        return pd.DataFrame(json.loads(said.read_text(encoding="utf-8")))


def _complaint(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"its process was ended by signal {-done.returncode}"
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return (
        without_password(lines[-1])[:LAST]
        if lines
        else f"its process ended with code {done.returncode}, and said nothing"
    )


def _plain(value: Any) -> Any:
    """Return a cell as JSON has it: a text, or a list of tokens."""
    return value if isinstance(value, str) else [str(token) for token in value]


def _load_and_answer(uri: str, scratch: Path) -> None:
    """Do what the fresh process is for."""
    import mlflow

    loaded = mlflow.pyfunc.load_model(uri, dst_path=str(scratch))
    rows = pd.DataFrame(json.loads((scratch / "rows.json").read_text(encoding="utf-8")))
    answers = loaded.predict(rows)
    draft = scratch / "answers.draft"
    draft.write_text(json.dumps({name: answers[name].tolist() for name in answers}), encoding="utf-8")
    draft.rename(scratch / "answers.json")


if __name__ == "__main__":
    _load_and_answer(sys.argv[1], Path(sys.argv[2]))
