"""A small stream, a configuration, and `cl backtest` over it in a warm process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.support import warm


@pytest.fixture(name="stream")
def small_stream(tmp_path, sentences) -> Path:
    """Three experiences of two labels each."""
    folder = tmp_path / "stream"
    folder.mkdir()
    for at, labels in enumerate((["loan", "fee"], ["box", "lamp"], ["shoe", "card"])):
        sentences(labels, 90, seed=at, prefix=f"e{at}-").to_csv(folder / f"{at}.csv", index=False)
    return folder


@pytest.fixture(name="config")
def small_config(tmp_path, tiny_model) -> Path:
    path = tmp_path / "cl.yaml"
    training = {"epochs": 8, "patience": 8, "batch_size": 8, "learning_rate": 3e-3, "head_learning_rate": 1e-2}
    model = {"name": str(tiny_model), "dropout": 0.0, "max_length": 64}
    raw = {"name": "tiny", "model": model, "training": training, "strategy": {"name": "replay", "rows": 60}}
    raw["decide"] = {"min_gain": None}  # with a handful of rows, any might be worth learning
    path.write_text(yaml.safe_dump(raw))
    return path


def arguments(config: Path, stream: Path, out: Path, *more: str) -> list[str]:
    return ["backtest", str(config), "--data", str(stream), "--out", str(out), "--no-baselines", *more]


def results(config: Path, stream: Path, out: Path, *more: str) -> dict:
    done = warm.run(*arguments(config, stream, out, "--json", "-", *more))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["strategies"]
