"""Versions of the registry: lookup, promotability, and loading from a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cl.errors import InputError, RefusedError
from cl.records import GateReport, LedgerEntry, VersionInfo
from cl.stores.ledger.state import cited_verdict
from cl.stores.manifest import check_manifest
from cl.stores.mlflow.registry import DIGEST, GATES, MANIFEST_DIGEST, Registry

if TYPE_CHECKING:
    import pandas as pd

    from cl.models.learner import Learner
    from cl.tasks import Schema


def version_exists(registry: Registry, version: str) -> bool:
    """Tell whether a version exists in the registry."""
    return registry.find(version) is not None


def passed_versions(versions: Sequence[VersionInfo]) -> list[str]:
    """Return the versions that passed their gates and have not been withdrawn since."""
    return [info.version for info in versions if info.tags.get(GATES) == "passed" and info.withdrawn is None]


def verdict_digest(versions: Sequence[VersionInfo], version: str | None) -> str | None:
    """Return the digest of a version's verdict; None for versions of older projects."""
    return next((info.tags.get(DIGEST) for info in versions if info.version == version), None)


def manifest_digest(versions: Sequence[VersionInfo], version: str | None) -> str | None:
    """Return the digest of a version's manifest; None for versions of older projects."""
    return next((info.tags.get(MANIFEST_DIGEST) for info in versions if info.version == version), None)


def check_verdict(registry: Registry, info: VersionInfo, entries: Sequence[LedgerEntry]) -> None:
    """Check that a version's tags say what its verdict says, which is stored with it, and cited by the ledger.

    Raises:
        RefusedError: a tag contradicts the verdict, or the verdict is not the one that was registered.
    """
    model, tag = f"version {info.version} of '{registry.model}'", info.tags.get(DIGEST)
    remedy = "restore the registry from a backup, or learn again: cl run --again EXPERIENCE"
    cited = cited_verdict(entries, info.version)
    if cited and tag and cited != tag:
        raise RefusedError(f"{model}: its tag {DIGEST} is not the verdict that the ledger cites; {remedy}")
    text = registry.files.record(info, "gates.json") if tag else None
    if text is None:  # older, or registered by another program
        return
    if hashlib.sha256(text.encode()).hexdigest() != tag:
        raise RefusedError(f"{model}: gates.json was changed after it was registered (digest differs); {remedy}")
    verdict = GateReport.model_validate_json(text)
    if info.tags.get(GATES) == "passed" and not verdict.passed:
        refused = ", ".join(gate.gate for gate in verdict.verdicts if not gate.passed)
        raise RefusedError(f"{model}: its tag {GATES} says passed, but its verdict refuses it ({refused}); {remedy}")


@dataclass(frozen=True)
class LoadedVersion:
    """A version loaded from its folder, ready for inference."""

    learner: Learner

    @property
    def labels(self) -> list[str]:
        """Its labels, in the order of the head's outputs."""
        return list(self.learner.labels)

    def predict(self, rows: pd.DataFrame | Sequence[object]) -> pd.DataFrame:
        """Return an answer per row, with the rows' index: the task's answer and the confidence, 0 to 1.

        A row whose input is missing (None, NaN) or of another kind has the answer None, no confidence, and the reason
        in a further column ``error``, which is there only if there is such a row.

        Args:
            rows: a frame with the task's input columns, such as text; or just the values of its only input; or where
                it has several, a mapping from their names for each row.

        Raises:
            InputError: the frame lacks an input column.
        """
        import numpy as np
        import pandas as pd

        from cl.models.inference import predict
        from cl.models.input_problems import row_problem

        schema = self.learner.task.schema
        frame = rows if isinstance(rows, pd.DataFrame) else _frame_of(rows, schema)
        for column in schema.inputs:
            if column.name not in frame and not column.optional:
                named = ", ".join(map(str, frame.columns))[:200] or "none"
                raise InputError(f"the input has no column '{column.name}'; its columns are: {named}")
        names = [name for name in schema.input_names if name in frame]
        cells = zip(*(frame[name].tolist() for name in names), strict=True)
        problems = pd.Series([row_problem(dict(zip(names, row, strict=True)), schema) for row in cells], dtype=object)
        whole = problems.isna().to_numpy(dtype=bool)
        values, confidence = np.full(len(frame), None, dtype=object), np.full(len(frame), np.nan)
        for position, prediction in zip(np.flatnonzero(whole), predict(self.learner, frame[whole]), strict=True):
            values[position], confidence[position] = prediction.value, prediction.confidence
        answers = pd.DataFrame({schema.answer.name: values, "confidence": confidence}, index=frame.index)
        return answers if whole.all() else answers.assign(error=problems.to_numpy())

    def stream(self, value: object) -> Iterator[str]:
        """Yield the answer to one input piece by piece, where answers are written: together what `predict` returns.

        Args:
            value: of the task's only input, such as a prompt, or the turns of a conversation.

        Raises:
            InputError: the version's answers are not written, or the input cannot be answered.
        """
        from cl.models.input_problems import row_problem
        from cl.models.streaming import stream_answer

        task = self.learner.task
        if not self.learner.writes or task.schema.input is None:
            raise InputError(f"task '{task.name}' writes no answer that could be streamed: use predict")
        if problem := row_problem({task.schema.input.name: value}, task.schema):
            raise InputError(problem)
        yield from stream_answer(self.learner, _frame_of([value], task.schema))


def _frame_of(rows: Sequence[object], schema: Schema) -> pd.DataFrame:
    """Return inputs as a frame.

    Raises:
        InputError: there are several, and a row is no mapping from their names.
    """
    if schema.input is None and not all(isinstance(row, Mapping) for row in rows):
        raise InputError(f"each row must be a mapping with {', '.join(schema.input_names)}, or rows a frame of them")
    return schema.frame(rows)


def load_version(folder: str | Path) -> LoadedVersion:
    """Load a version from the folder that it was registered from, exported to or downloaded to.

    The digests in its manifest are checked first, and nothing is unpickled.

    Raises:
        IntegrityError: a file is missing, added or changed.
    """
    from cl.models.persistence import load_learner

    check_manifest(Path(folder))
    return LoadedVersion(load_learner(Path(folder)))
