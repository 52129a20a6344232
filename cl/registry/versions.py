"""Versions of the registry: which there are, which may be promoted, and one of them loaded from its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cl.records import VersionInfo
from cl.stores.manifest import check_manifest
from cl.stores.mlflow.registry import DIGEST, GATES, Registry

if TYPE_CHECKING:
    import pandas as pd

    from cl.models.learner import Learner


def version_exists(registry: Registry, version: str) -> bool:
    """Tell whether the registry still has a version."""
    return version in [one.version for one in registry.versions()]


def passed_versions(versions: Sequence[VersionInfo]) -> list[str]:
    """Return the versions that passed their gates and have not been withdrawn since."""
    return [one.version for one in versions if one.tags.get(GATES) == "passed" and one.withdrawn is None]


def verdict_digest(versions: Sequence[VersionInfo], version: str | None) -> str | None:
    """Return the digest of the verdict on a version; versions of older projects have none."""
    return next((one.tags.get(DIGEST) for one in versions if one.version == version), None)


@dataclass(frozen=True)
class LoadedVersion:
    """A version that was loaded from its folder, and answers."""

    learner: Learner

    @property
    def labels(self) -> list[str]:
        """The labels that it knows, in the order of its head's outputs."""
        return list(self.learner.labels)

    def predict(self, rows: pd.DataFrame | Sequence[object]) -> pd.DataFrame:
        """Return one answer a row, with the rows' index: the task's answer (label or tags), and confidence, 0 to 1.

        Args:
            rows: a frame with the task's input column (text or tokens), or its values alone.
        """
        import pandas as pd

        from cl.models.inference import predict

        column, answer = self.learner.task.columns
        frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame({column: list(rows)})
        answers = predict(self.learner, frame)
        return pd.DataFrame(
            {answer: [one.value for one in answers], "confidence": [one.confidence for one in answers]},
            index=frame.index,
        )


def load_version(folder: str | Path) -> LoadedVersion:
    """Load a version from the folder that it was registered from, exported or downloaded to.

    The digests of its manifest are checked first, and nothing is loaded through pickle.

    Raises:
        IntegrityError: a file is missing, added or changed.
    """
    from cl.models.persistence import load_learner

    check_manifest(Path(folder))
    return LoadedVersion(load_learner(Path(folder)))
