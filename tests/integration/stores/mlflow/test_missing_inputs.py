"""A missing value in the input of a version that stock MLflow has loaded costs its row, not the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from cl.config import parse
from cl.models.build import grow_labels, new_learner
from cl.models.persistence import save_learner
from cl.stores.manifest import write_manifest
from cl.stores.mlflow.registry import Registry

LABELS = {"text": ["fee", "loan"], "tokens": ["O", "B-PER", "I-PER"]}
TASKS = {"text": "text_classification", "tokens": "token_classification"}


@pytest.fixture(scope="module")
def loaded(tiny_model, tmp_path_factory) -> Any:
    """Return a function that returns the version with a given input column, as stock MLflow loads it."""
    import mlflow

    folder = tmp_path_factory.mktemp("missing")
    registry = Registry(f"sqlite:///{folder}/m.db", str(folder / "artifacts"), "tiny")
    registry.initialise()
    mlflow.set_tracking_uri(registry.tracking_uri)

    def load(column: str) -> Any:
        config = parse({"task": TASKS[column], "model": {"name": str(tiny_model)}}, where="test")
        learner = grow_labels(new_learner(config), LABELS[column], seed=0)
        saved = folder / column
        saved.mkdir()
        save_learner(learner, saved)
        write_manifest(saved)
        run = registry.runs.start_run(column, "0001-one", {})
        version = registry.log_version(run, saved, tags={"cl.cycle_id": column, "cl.gates": "passed"}, metrics={})
        return mlflow.pyfunc.load_model(f"models:/tiny/{version}")

    models = {column: load(column) for column in TASKS}
    return models.__getitem__


@pytest.mark.parametrize(
    ("column", "values", "missing"),
    [
        ("text", ["my loan", None], {1: "text is missing"}),
        ("text", ["my loan", np.nan, "the fee"], {1: "text is missing"}),
        ("text", pd.Series(["my loan", pd.NA], dtype="string"), {1: "text is missing"}),
        ("text", ["my loan", 3, ["my loan"]], {1: "text is not text", 2: "text is not text"}),
        ("text", pd.Series([np.nan, np.nan], dtype=object), {0: "text is missing", 1: "text is missing"}),
        ("text", [None, None], {0: "text is missing", 1: "text is missing"}),
        ("tokens", [["my", "loan"], None], {1: "tokens is missing"}),
        ("tokens", [np.nan, ["my", "loan"]], {0: "tokens is missing"}),
        ("tokens", [np.nan, np.nan], {0: "tokens is missing", 1: "tokens is missing"}),
        ("tokens", [["my", None], ["my", "loan"]], {0: "token 1 is missing"}),
        ("tokens", [["my", "loan"], "my loan"], {1: "tokens is not a list"}),
    ],
)
def test_a_missing_value_costs_its_row(loaded, column, values, missing) -> None:
    model, frame = loaded(column), pd.DataFrame({column: values})
    frame.index += 5
    answers = model.predict(frame)
    label = answers.columns[0]
    assert list(answers.columns) == [label, "confidence", "error"] and answers.index.tolist() == frame.index.tolist()
    whole = [index for index in range(len(frame)) if index not in missing]
    if whole:
        alone = model.predict(frame.iloc[whole])
        assert list(alone.columns) == [label, "confidence"]
        assert answers[label].iloc[whole].tolist() == alone[label].tolist()
        assert answers["confidence"].iloc[whole].to_numpy() == pytest.approx(alone["confidence"].to_numpy())
    for index, error in missing.items():
        row = answers.iloc[index]
        assert row[label] is None and np.isnan(row["confidence"]) and row["error"] == error
    assert answers["error"].isna().sum() == len(whole)
