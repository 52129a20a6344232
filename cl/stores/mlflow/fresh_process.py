"""Query a version in a fresh process, loaded by stock MLflow as a serving process would load it."""

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
from cl.redaction import without_password
from cl.stores.mlflow.environment import SETTINGS

SECONDS = 600
"""A version that has not answered within this time is unservable."""
MAX_MESSAGE_LENGTH = 300
"""Characters of the process's error message that are reported."""
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def answer_in_fresh_process(tracking_uri: str, model: str, version: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Return a version's predictions for rows, made by a fresh process that loads it from the registry, offline.

    Args:
        tracking_uri: the URI of the registry.
        model: the registered model's name.
        version: the version to load.
        rows: rows with the task's input column only.

    Raises:
        UnservableError: the process failed (the message is its last line), or took longer than ten minutes.
    """
    with tempfile.TemporaryDirectory(prefix="perennial-smoke-") as scratch:
        input_file, output_file = Path(scratch) / "rows.json", Path(scratch) / "answers.json"
        input_file.write_text(json.dumps({name: rows[name].map(_to_json).tolist() for name in rows}), encoding="utf-8")
        # the URI may hold a password, which the environment hides from process listings
        environment = {**SETTINGS, **os.environ, **OFFLINE, "MLFLOW_TRACKING_URI": tracking_uri}
        command = [sys.executable, "-m", __name__, f"models:/{model}/{version}", scratch]
        try:
            process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS)
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


def _load_and_answer(uri: str, scratch: Path) -> None:
    """Load the version and write its predictions; this runs in the fresh process."""
    import mlflow

    model = mlflow.pyfunc.load_model(uri, dst_path=str(scratch))
    rows = pd.DataFrame(json.loads((scratch / "rows.json").read_text(encoding="utf-8")))
    answers = model.predict(rows)
    draft = scratch / "answers.draft"
    draft.write_text(json.dumps({name: answers[name].tolist() for name in answers}), encoding="utf-8")
    draft.rename(scratch / "answers.json")


if __name__ == "__main__":
    _load_and_answer(sys.argv[1], Path(sys.argv[2]))
