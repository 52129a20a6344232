"""Smoke test: load the registered version in a fresh process and compare its answers with the evaluation."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from cl import plugins
from cl.config import Config
from cl.errors import RefusedError, UnservableError
from cl.heavy import np, pd
from cl.records import TOLERANCE, TOLERANCE_INT8, Challenger, GateReport, Registration, Verdict
from cl.registry.descriptions import refresh_descriptions
from cl.stores.data.experiences import RowsOf
from cl.stores.mlflow.fresh_process import answer_in_fresh_process
from cl.stores.mlflow.registry import FORM, GATES, SMOKE_TAG
from cl.stores.mlflow.runs import CYCLE_ID
from cl.stores.stores import Stores
from cl.tasks import Task

log = logging.getLogger(__name__)
SMOKE = "smoke test"


def smoke_test(config: Config, stores: Stores, registration: Registration, challenger: Challenger) -> GateReport:
    """Return the gates' verdicts with one more: whether the registered version answers as during evaluation.

    Only a version that passes gets the tag that promotion trusts, ``cl.gates``: passed. This holds in every gate mode,
    since a version that cannot be loaded cannot serve. A version that a gate refused is not tested. The step may be
    repeated (an infra validator as in TFX: Baylor et al., 2017, section 6).

    Raises:
        StoreError: the registry is unreachable, so that nothing is known about the version.
    """
    gates, evaluation = challenger.gates, challenger.evaluation
    if not gates.passed or not config.evaluation.smoke_rows:
        return gates
    form = stores.registry.tags(registration.version).get(FORM, "")
    verdict = _test_answers(config, stores, registration.version, form, pd.read_parquet(evaluation.predictions))
    log.info(
        "%s of version %s %s: %s", SMOKE, registration.version, "passes" if verdict.passed else "refuses", verdict.why
    )
    for tag in (SMOKE_TAG, GATES):
        stores.registry.tag_version(registration.version, tag, "passed" if verdict.passed else "failed")
    refresh_descriptions(stores.registry, stores.ledger.entries(stores.registry.model), [registration.version])
    return gates.model_copy(update={"passed": verdict.passed, "verdicts": [*gates.verdicts, verdict]})


def repeat_smoke_test(config: Config, stores: Stores, version: str) -> None:
    """Test a version that is to be promoted despite its gates: it may never have reached its smoke test.

    Raises:
        RefusedError: it does not answer as during evaluation, or its evaluation is no longer available.
        StoreError: the registry is unreachable.
    """
    info = next((info for info in stores.registry.versions() if info.version == version), None)
    if not config.evaluation.smoke_rows or info is None or info.withdrawn or info.tags.get(GATES) == "pending":
        return
    refused = f"version {version} of '{stores.registry.model}' cannot serve, whatever the reason:"
    with tempfile.TemporaryDirectory() as scratch:
        stored = stores.registry.runs.evaluated(info.tags.get(CYCLE_ID, ""), Path(scratch))
        if stored is None:
            raise RefusedError(f"{refused} its evaluation is not in the registry, so it cannot be tested")
        verdict = _test_answers(config, stores, version, info.tags.get(FORM, ""), pd.read_parquet(stored))
    stores.registry.tag_version(version, SMOKE_TAG, "passed" if verdict.passed else "failed")
    if not verdict.passed:
        raise RefusedError(f"{refused} {verdict.why}")


def _test_answers(config: Config, stores: Stores, version: str, form: str, stored: pd.DataFrame) -> Verdict:
    task, registry = plugins.build(Task, config.task), stores.registry
    if task.reads_answers and not task.measures_texts:  # all but a few rows were not answered in words
        stored = stored[stored["challenger"] != ""]
    expected = spread_rows(stored, config.evaluation.smoke_rows)
    if expected.empty:
        return Verdict(gate=SMOKE, passed=True, why="there are no test rows for the smoke test")
    schema = task.schema
    rows = matching_rows(expected, stores.experiences.rows_of)
    try:
        answers = answer_in_fresh_process(registry, version, rows[schema.input_names])
        described = [task.describe(value) for value in answers[schema.answer.name]]
        if task.measures_texts:  # the last digit of a measure may differ; the confidence is the same measure, exactly
            described = expected["challenger"].tolist()
        confidence = answers["confidence"].to_numpy(dtype=float)
    except (UnservableError, KeyError, TypeError, ValueError) as error:
        registry.versions()  # raises if the cause is an unreachable registry rather than the version
        return Verdict(gate=SMOKE, passed=False, why=f"loaded in a fresh process, it does not answer: {error}")
    return compare_answers(expected, described, confidence, tolerance=TOLERANCE_INT8 if "int8" in form else TOLERANCE)


def compare_answers(
    expected: pd.DataFrame, answers: list[str], confidence: np.ndarray, tolerance: float = TOLERANCE
) -> Verdict:
    """Compare a version's answers with those that the evaluation stored; the verdict names the first mismatch.

    A different answer is accepted if, within the tolerance, both may have been equally likely.
    """
    if len(answers) != len(expected):
        why = f"loaded from the registry, it gives {len(answers)} answers to {len(expected)} rows"
        return Verdict(gate=SMOKE, passed=False, why=why)
    before = expected["confidence"].to_numpy(dtype=float)
    other = expected["challenger"].to_numpy() != np.array(answers, dtype=object)
    tied = (before <= 0.5 + tolerance / 2) & (tolerance > TOLERANCE)
    wrong = (other & ~tied) | ~(np.abs(confidence - before) <= tolerance)
    summary = f"loaded in a fresh process, it answers {len(expected) - int(wrong.sum())} of {len(expected)} test rows"
    if not wrong.any():
        return Verdict(gate=SMOKE, passed=True, measured=0.0, bound=0.0, why=f"{summary} as during evaluation")
    index = int(wrong.argmax())
    row = expected.iloc[index]
    why = (
        f"{summary} as during evaluation; row {row['id']} of {row['experience']} was {row['challenger']} "
        f"({row['confidence']:.3f}), is {answers[index]} ({confidence[index]:.3f})"
    )
    return Verdict(gate=SMOKE, passed=False, measured=float(wrong.sum()), bound=0.0, why=why)


def spread_rows(stored: pd.DataFrame, most: int) -> pd.DataFrame:
    """Return at most ``most`` stored rows, evenly spread, including the oldest and the newest."""
    if len(stored) <= most:
        return stored
    return stored.iloc[np.linspace(0, len(stored) - 1, most).round().astype(int)]


def matching_rows(stored: pd.DataFrame, rows_of: RowsOf) -> pd.DataFrame:
    """Return the test rows that belong to stored rows, in their order."""
    parts = [
        rows_of([experience], "test").set_index("id", drop=False).loc[part["id"]]
        for experience, part in stored.groupby("experience", sort=False)
    ]
    return pd.concat(parts, ignore_index=True)
