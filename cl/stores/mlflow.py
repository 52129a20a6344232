"""MLflow's registry: one version a challenger, aliases for champion and challenger."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cl.errors import IntegrityError
from cl.records import VersionInfo
from cl.stores.environment import requirements
from cl.stores.local import check_manifest, place_sealed
from cl.stores.mlflow_runs import CYCLE_ID, Runs, store_told

PYFUNC_MODEL = Path(__file__).parent.parent / "serving" / "pyfunc_model.py"


@dataclass(frozen=True)
class Registry(Runs):
    """The versions of one model and their aliases, beside the runs that made them."""

    def champion(self) -> str | None:
        """Return the version that the alias `champion` points to."""
        return self.aliases().get("champion")

    def set_alias(self, alias: str, version: str) -> None:
        """Point an alias to a version."""
        with store_told(self.tracking_uri):
            self._client.set_registered_model_alias(self.model, alias, version)

    def delete_alias(self, alias: str) -> None:
        """Take an alias away, if it is there."""
        if alias in self.aliases():
            with store_told(self.tracking_uri):
                self._client.delete_registered_model_alias(self.model, alias)

    def aliases(self) -> dict[str, str]:
        """Return which version each alias points to, in one cheap call that may be made every second."""
        with store_told(self.tracking_uri):
            models = self._client.search_registered_models(f"name='{self.model}'")
        return {alias: str(version) for model in models for alias, version in dict(model.aliases).items()}

    def versions(self) -> list[VersionInfo]:
        """Return all versions, oldest first, with tags and aliases."""
        of_version: dict[str, list[str]] = {}
        for alias, version in self.aliases().items():
            of_version.setdefault(version, []).append(alias)
        with store_told(self.tracking_uri):
            found = self._client.search_model_versions(f"name='{self.model}'")
        infos = [
            VersionInfo(
                version=str(one.version),
                created=datetime.fromtimestamp(one.creation_timestamp / 1000, UTC),
                run_id=one.run_id or "",
                tags=dict(one.tags),
                aliases=sorted(of_version.get(str(one.version), [])),
            )
            for one in found
        ]
        return sorted(infos, key=lambda one: int(one.version))

    def tags(self, version: str) -> dict[str, str]:
        """Return the tags of one version."""
        with store_told(self.tracking_uri):
            return dict(self._client.get_model_version(self.model, version).tags)

    def version_for_cycle(self, cycle: str) -> str | None:
        """Return the version that a cycle registered, or None."""
        return next((one.version for one in self.versions() if one.tags.get(CYCLE_ID) == cycle), None)

    def download(self, version: str, folder: Path) -> Path:
        """Bring a version's learner into a folder, whole and checked against its manifest.

        Raises:
            StoreError: it cannot be brought.
            IntegrityError: a file is not the one that was registered.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        uri = f"models:/{self.model}/{version}"
        with (
            store_told(self.tracking_uri),
            self._tracking(),
            tempfile.TemporaryDirectory(prefix=".draft-", dir=folder.parent) as scratch,
        ):
            import mlflow

            got = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=scratch))
            found = list(got.glob("artifacts/*"))
            if len(found) != 1:
                raise IntegrityError(f"{uri}: holds no learner; it was not registered by Perennial")
            check_manifest(found[0])
            place_sealed(found[0], folder)
        return folder

    def log_version(self, run: str, learner: Path, *, tags: dict[str, str], metrics: dict[str, float]) -> str:
        """Log a sealed learner folder as an MLflow model and register it; return the version.

        A version that the same cycle has registered is returned as it is.
        """
        known = self.version_for_cycle(tags[CYCLE_ID])
        if known is not None:
            return known
        import mlflow

        with store_told(self.tracking_uri), self._tracking(), mlflow.start_run(run_id=run):
            logged = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(PYFUNC_MODEL),
                artifacts={"learner": str(learner)},
                signature=_signature(learner),
                pip_requirements=requirements(),
                tags=tags,
            )
            mlflow.log_metrics(metrics, model_id=logged.model_id)
            if not self._client.search_registered_models(f"name='{self.model}'"):
                self._client.create_registered_model(self.model)
            # the tags come with the version in one call: no moment at which it is there without its verdict
            made = self._client.create_model_version(
                self.model, logged.model_uri, run_id=run, tags=tags, model_id=logged.model_id
            )
        return str(made.version)


def _signature(learner: Path) -> Any:
    """Return the columns that the task reads and writes, for the model's page and for serving."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    from cl import plugins

    task = plugins.build("tasks", json.loads((learner / "learner.json").read_text(encoding="utf-8"))["task"])
    kind = Array(DataType.string) if task.columns[0] == "tokens" else DataType.string
    text, label = task.columns
    return ModelSignature(
        inputs=Schema([ColSpec(kind, text)]),
        outputs=Schema([ColSpec(kind, label), ColSpec(DataType.double, "confidence")]),
    )
