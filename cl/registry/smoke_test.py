"""Smoke test: the registered version is loaded back in a fresh process, and must answer as it was evaluated."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from cl import plugins
from cl.config import Config
from cl.errors import RefusedError, UnservableError
from cl.records import TOLERANCE, TOLERANCE_INT8, Challenger, GateReport, Registration, Verdict
from cl.stores.data.experiences import RowsOf
from cl.stores.mlflow.fresh_process import answer_in_fresh_process
from cl.stores.mlflow.registry import FORM, GATES, SMOKED
from cl.stores.mlflow.runs import CYCLE_ID
from cl.stores.stores import Stores
from cl.tasks import Task

log = logging.getLogger(__name__)
SMOKE = "smoke test"


def smoke_test(config: Config, stores: Stores, registration: Registration, challenger: Challenger) -> GateReport:
    """Return the gates' verdicts with one more: whether the version in the registry answers as the evaluation stored.

    Only then does the version get the tag that promotion trusts, ``cl.gates``: passed. That holds whatever mode the
    gates are in, for a version that cannot be loaded cannot serve. A version that a gate has refused is not tested.
    Safe to repeat (an infra validator, as TFX has it: Baylor et al., 2017, section 6).

    Raises:
        StoreError: the registry is out of reach, so that nothing is shown about the version.
    """
    gates, evaluation = challenger.gates, challenger.evaluation
    if not gates.passed or not config.evaluation.smoke_rows:
        return gates
    form = stores.registry.tags(registration.version).get(FORM, "")
    verdict = _tested(config, stores, registration.version, form, pd.read_parquet(evaluation.predictions))
    log.info(
        "%s of version %s %s: %s", SMOKE, registration.version, "passes" if verdict.passed else "refuses", verdict.why
    )
    for tag in (SMOKED, GATES):
        stores.registry.tag_version(registration.version, tag, "passed" if verdict.passed else "failed")
    return gates.model_copy(update={"passed": verdict.passed, "verdicts": [*gates.verdicts, verdict]})


def repeat_smoke_test(config: Config, stores: Stores, version: str) -> None:
    """Test a version that a person wants to serve despite its gates: they may never have let it come to its test.

    Raises:
        RefusedError: it does not answer as it was evaluated, or nothing is left to compare its answers with.
        StoreError: the registry is out of reach.
    """
    info = next((one for one in stores.registry.versions() if one.version == version), None)
    if not config.evaluation.smoke_rows or info is None or info.withdrawn or info.tags.get(GATES) == "pending":
        return
    refused = f"version {version} of '{stores.registry.model}' cannot serve, whatever the reason:"
    with tempfile.TemporaryDirectory() as scratch:
        stored = stores.registry.evaluated(info.tags.get(CYCLE_ID, ""), Path(scratch))
        if stored is None:
            raise RefusedError(f"{refused} its evaluation is not in the registry, so that it cannot be tested")
        verdict = _tested(config, stores, version, info.tags.get(FORM, ""), pd.read_parquet(stored))
    stores.registry.tag_version(version, SMOKED, "passed" if verdict.passed else "failed")
    if not verdict.passed:
        raise RefusedError(f"{refused} {verdict.why}")


def _tested(config: Config, stores: Stores, version: str, form: str, stored: pd.DataFrame) -> Verdict:
    expected = spread_rows(stored, config.evaluation.smoke_rows)
    if expected.empty:
        return Verdict(gate=SMOKE, passed=True, why="there is no test row to ask the registered version")
    task, registry = plugins.build(Task, config.task), stores.registry
    text, label = task.columns
    rows = matching_rows(expected, stores.experiences.rows_of)
    try:
        answers = answer_in_fresh_process(registry.tracking_uri, registry.model, version, rows[[text]])
        found = [task.describe(value) for value in answers[label]]
        confidence = answers["confidence"].to_numpy(dtype=float)
    except (UnservableError, KeyError, TypeError, ValueError) as error:
        registry.versions()  # raises where it is the registry that cannot be reached, and not the version's fault
        return Verdict(gate=SMOKE, passed=False, why=f"loaded back in a fresh process it gives no answers: {error}")
    return compare_answers(expected, found, confidence, tolerance=TOLERANCE_INT8 if "int8" in form else TOLERANCE)


def compare_answers(
    expected: pd.DataFrame, answers: list[str], confidence: np.ndarray, tolerance: float = TOLERANCE
) -> Verdict:
    """Return whether a version's answers to rows are those that the evaluation stored, with the first that is not.

    Another answer is the same within the tolerance where both can have been equally likely.
    """
    if len(answers) != len(expected):
        why = f"loaded back it gives {len(answers)} answers to {len(expected)} rows"
        return Verdict(gate=SMOKE, passed=False, why=why)
    before = expected["confidence"].to_numpy(dtype=float)
    other = expected["challenger"].to_numpy() != np.array(answers, dtype=object)
    tied = (before <= 0.5 + tolerance / 2) & (tolerance > TOLERANCE)
    wrong = (other & ~tied) | ~(np.abs(confidence - before) <= tolerance)
    said = f"loaded back in a fresh process it answers {len(expected) - int(wrong.sum())} of {len(expected)} test rows"
    if not wrong.any():
        return Verdict(gate=SMOKE, passed=True, measured=0.0, bound=0.0, why=f"{said} as it was evaluated")
    at = int(wrong.argmax())
    row = expected.iloc[at]
    why = (
        f"{said} as it was evaluated; row {row['id']} of {row['experience']} was {row['challenger']} "
        f"({row['confidence']:.3f}), is {answers[at]} ({confidence[at]:.3f})"
    )
    return Verdict(gate=SMOKE, passed=False, measured=float(wrong.sum()), bound=0.0, why=why)


def spread_rows(stored: pd.DataFrame, most: int) -> pd.DataFrame:
    """Return at most so many stored rows, evenly spread over all of them, the oldest and the newest among them."""
    if len(stored) <= most:
        return stored
    return stored.iloc[np.linspace(0, len(stored) - 1, most).round().astype(int)]


def matching_rows(stored: pd.DataFrame, rows_of: RowsOf) -> pd.DataFrame:
    """Return the test rows that stored rows are of, in their order."""
    parts = [
        rows_of([one], "test").set_index("id", drop=False).loc[part["id"]]
        for one, part in stored.groupby("experience", sort=False)
    ]
    return pd.concat(parts, ignore_index=True)
