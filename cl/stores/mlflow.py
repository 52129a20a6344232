"""MLflow: one run a cycle, one registered version a challenger, aliases for champion and challenger."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cl.errors import IntegrityError
from cl.records import Cycle, VersionInfo
from cl.stores.environment import quieten, requirements
from cl.stores.local import check_manifest, kept_text, place_sealed
from cl.stores.reach import first_use, told, without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREDICTIONS = "evaluation/predictions.parquet"
CYCLE_ID, VERDICT = "cl.cycle_id", "cl.verdict"
PYFUNC_MODEL = Path(__file__).parent.parent / "serving" / "pyfunc_model.py"
BATCH = 100  # what MLflow takes in one call
PAGE = 1_000  # runs that it gives in one


@dataclass(frozen=True)
class Registry:
    """One model in one MLflow tracking store.

    ``tracking_uri`` is absolute; ``artifacts`` is where a new experiment keeps its files: an absolute path,
    a URI, or None for the server's own place; ``kept`` is a folder on this machine for what never changes.
    """

    tracking_uri: str
    artifacts: str | None
    model: str
    kept: Path | None = None

    def initialise(self) -> None:
        """Create or upgrade the database and make sure that the model's experiment exists.

        Raises:
            StoreError: the tracking store is out of reach.
        """
        with _told(self.tracking_uri), first_use(self.tracking_uri, f"MLflow at {self.tracking_uri}"):
            self._experiment  # noqa: B018  # asking for it creates it

    def champion(self) -> str | None:
        """Return the version that the alias `champion` points to."""
        return self._aliases().get("champion")

    def set_alias(self, alias: str, version: str) -> None:
        """Point an alias to a version."""
        with _told(self.tracking_uri):
            self._client.set_registered_model_alias(self.model, alias, version)

    def delete_alias(self, alias: str) -> None:
        """Take an alias away, if it is there."""
        if alias in self._aliases():
            with _told(self.tracking_uri):
                self._client.delete_registered_model_alias(self.model, alias)

    def versions(self) -> list[VersionInfo]:
        """Return all versions, oldest first, with tags and aliases."""
        of_version: dict[str, list[str]] = {}
        for alias, version in self._aliases().items():
            of_version.setdefault(version, []).append(alias)
        with _told(self.tracking_uri):
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
            _told(self.tracking_uri),
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

    def start_run(self, cycle: str, name: str, tags: dict[str, str]) -> str:
        """Return the id of the cycle's run; a cycle that was killed finds its own again."""
        with _told(self.tracking_uri):
            if (known := self._run_of(cycle)) is not None:
                return known
            run = self._client.create_run(self._experiment, run_name=name, tags={**tags, CYCLE_ID: cycle})
            return run.info.run_id

    def log_params(self, run: str, params: dict[str, Any]) -> None:
        """Log parameters, once: MLflow refuses to change them."""
        with _told(self.tracking_uri):
            from mlflow.entities import Param

            known = self._client.get_run(run).data.params
            new = [Param(key, str(value)[:500]) for key, value in params.items() if key not in known]
            for at in range(0, len(new), BATCH):
                self._client.log_batch(run, params=new[at : at + BATCH])

    def log_metrics(self, run: str, metrics: dict[str, float]) -> None:
        """Log numbers under their names."""
        with _told(self.tracking_uri):
            for key, value in metrics.items():
                self._client.log_metric(run, key, value)

    def log_series(self, run: str, name: str, values: list[float]) -> None:
        """Log a number for each epoch."""
        with _told(self.tracking_uri):
            for step, value in enumerate(values):
                self._client.log_metric(run, name, value, step=step + 1)

    def log_dataset(self, run: str, name: str, *, digest: str, source: str, rows: int) -> None:
        """Log which data a run learnt from; the digest is DVC's, its first 36 characters (MLflow's limit)."""
        with _told(self.tracking_uri):
            from mlflow.entities import Dataset, DatasetInput, InputTag

            place, profile = json.dumps({"uri": source}), json.dumps({"num_rows": rows})
            data = Dataset(name, digest[:36], "local", place, profile=profile)
            self._client.log_inputs(run, [DatasetInput(data, [InputTag("mlflow.data.context", "training")])])

    def log_folder(self, run: str, folder: Path, artifact_path: str) -> None:
        """Log all files of a folder as artifacts."""
        with _told(self.tracking_uri):
            self._client.log_artifacts(run, str(folder), artifact_path)

    def log_file(self, run: str, file: Path, artifact_path: str) -> None:
        """Log one file as an artifact."""
        with _told(self.tracking_uri):
            self._client.log_artifact(run, str(file), artifact_path)

    def log_version(self, run: str, learner: Path, *, tags: dict[str, str], metrics: dict[str, float]) -> str:
        """Log a sealed learner folder as an MLflow model and register it; return the version.

        A version that the same cycle has registered is returned as it is.
        """
        known = self.version_for_cycle(tags[CYCLE_ID])
        if known is not None:
            return known
        import mlflow

        with _told(self.tracking_uri), self._tracking(), mlflow.start_run(run_id=run):
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

    def record_cycle(self, run: str, cycle: Cycle) -> None:
        """Write the finished cycle into its run, and end the run; the verdict is written last and counts."""
        with _told(self.tracking_uri):
            self._client.log_text(run, cycle.model_dump_json(indent=1), "cycle.json")
            for key, value in {
                "cl.experience": cycle.experience.id,
                "cl.decision": cycle.decision.action,
                "cl.version": cycle.promotion.version if cycle.promotion else "",
                "cl.drifted": str(cycle.drift.drifted).lower(),
                "mlflow.note.content": "\n\n".join(cycle.decision.reasons),
            }.items():
                self._client.set_tag(run, key, value)
            self._client.set_terminated(run, "FINISHED")
            self._client.set_tag(run, VERDICT, cycle.verdict)

    def cycles(self) -> list[Cycle]:
        """Return all finished cycles, oldest first; what a machine has brought once it does not ask for again."""
        with _told(self.tracking_uri):
            texts = [kept_text(self.kept, f"{run}.json", partial(self._cycle, run)) for run in self._ended()]
        return [Cycle.model_validate_json(text) for text in texts]

    def _cycle(self, run: str) -> str:
        with tempfile.TemporaryDirectory() as scratch:
            return Path(self._client.download_artifacts(run, "cycle.json", scratch)).read_text(encoding="utf-8")

    def _ended(self) -> Iterator[str]:
        ended, by, token = f"tags.`{VERDICT}` != ''", ["attributes.start_time ASC"], None
        while True:
            runs = self._client.search_runs([self._experiment], ended, max_results=PAGE, order_by=by, page_token=token)
            yield from (run.info.run_id for run in runs)
            if not (token := runs.token):
                return

    def evaluated(self, cycle: str, folder: Path) -> Path | None:
        """Bring the stored rows of a cycle's evaluation into a folder; None where they are not there any more."""
        with _told(self.tracking_uri):
            run = self._run_of(cycle)
            if run and PREDICTIONS in [one.path for one in self._client.list_artifacts(run, "evaluation")]:
                return Path(self._client.download_artifacts(run, PREDICTIONS, str(folder)))
        return None

    def page(self, run: str) -> str | None:
        """Return where the tracking server shows a run; None where there is no server."""
        uri = without_password(self.tracking_uri)
        return f"{uri}/#/experiments/{self._experiment}/runs/{run}" if uri.startswith("http") else None

    def _run_of(self, cycle: str) -> str | None:
        found = self._client.search_runs([self._experiment], f"tags.`{CYCLE_ID}` = '{cycle}'", max_results=1)
        return found[0].info.run_id if found else None

    def _aliases(self) -> dict[str, str]:
        with _told(self.tracking_uri):
            models = self._client.search_registered_models(f"name='{self.model}'")
        return {alias: str(version) for model in models for alias, version in dict(model.aliases).items()}

    @cached_property
    def _client(self) -> MlflowClient:
        quieten()
        from mlflow import MlflowClient

        return MlflowClient(self.tracking_uri, self.tracking_uri)

    @cached_property
    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(self.model)
        if found is not None:
            return found.experiment_id
        location = self.artifacts
        if location is not None and "://" not in location:
            location = Path(location).as_uri()
        return self._client.create_experiment(self.model, artifact_location=location)

    @contextmanager
    def _tracking(self) -> Iterator[None]:
        """Let MLflow's fluent functions use this store, as some things have no client call."""
        import mlflow

        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(self.tracking_uri)
        mlflow.set_registry_uri(self.tracking_uri)
        try:
            yield
        finally:
            mlflow.set_tracking_uri(before)


@contextmanager
def _told(tracking_uri: str) -> Iterator[None]:
    """Turn what MLflow raises into one line that names the store."""
    quieten()
    with told(f"MLflow at {without_password(tracking_uri)}"):
        yield


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
