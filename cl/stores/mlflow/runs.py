"""MLflow's runs: one a cycle, with all that it found and did."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cl.records import Cycle
from cl.redaction import without_password
from cl.stores.connectivity import first_use
from cl.stores.error_messages import translate_store_errors
from cl.stores.files import read_or_write_text
from cl.stores.mlflow.environment import silence_mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREDICTIONS = "evaluation/predictions.parquet"
CYCLE_ID, VERDICT = "cl.cycle_id", "cl.verdict"
BATCH = 100  # what MLflow takes in one call
PAGE = 1_000  # runs that it gives in one
PLACES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")


@dataclass(frozen=True)
class Runs:
    """The runs of one model in one MLflow tracking store.

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
        with translate_mlflow_errors(self.tracking_uri), first_use(self.tracking_uri, f"MLflow at {self.tracking_uri}"):
            self._experiment  # noqa: B018  # asking for it creates it

    def start_run(self, cycle: str, name: str, tags: dict[str, str]) -> str:
        """Return the id of the cycle's run; a cycle that was killed finds its own again."""
        with translate_mlflow_errors(self.tracking_uri):
            if (known := self._run_of(cycle)) is not None:
                return known
            run = self._client.create_run(self._experiment, run_name=name, tags={**tags, CYCLE_ID: cycle})
            return run.info.run_id

    def log_params(self, run: str, params: dict[str, Any]) -> None:
        """Log parameters, once: MLflow refuses to change them."""
        with translate_mlflow_errors(self.tracking_uri):
            from mlflow.entities import Param

            known = self._client.get_run(run).data.params
            new = [Param(key, str(value)[:500]) for key, value in params.items() if key not in known]
            for at in range(0, len(new), BATCH):
                self._client.log_batch(run, params=new[at : at + BATCH])

    def log_metrics(self, run: str, metrics: dict[str, float]) -> None:
        """Log numbers under their names."""
        self._log(run, [(key, value, 0) for key, value in metrics.items()])

    def log_series(self, run: str, name: str, values: list[float]) -> None:
        """Log a number for each epoch."""
        self._log(run, [(name, value, step) for step, value in enumerate(values, start=1)])

    def _log(self, run: str, numbers: list[tuple[str, float, int]]) -> None:
        """Log numbers with their steps, many in a call: a server may be slow to see who asks."""
        with translate_mlflow_errors(self.tracking_uri):
            from mlflow.entities import Metric

            now = int(time.time() * 1000)
            metrics = [Metric(key, value, now, step) for key, value, step in numbers]
            for at in range(0, len(metrics), BATCH):
                self._client.log_batch(run, metrics=metrics[at : at + BATCH])

    def log_dataset(self, run: str, name: str, *, digest: str, source: str, rows: int) -> None:
        """Log which data a run learnt from; the digest is DVC's, its first 36 characters (MLflow's limit)."""
        with translate_mlflow_errors(self.tracking_uri):
            from mlflow.entities import Dataset, DatasetInput, InputTag

            place, profile = json.dumps({"uri": source}), json.dumps({"num_rows": rows})
            data = Dataset(name, digest[:36], "local", place, profile=profile)
            self._client.log_inputs(run, [DatasetInput(data, [InputTag("mlflow.data.context", "training")])])

    def log_folder(self, run: str, folder: Path, artifact_path: str) -> None:
        """Log all files of a folder as artifacts."""
        with translate_mlflow_errors(self.tracking_uri):
            self._client.log_artifacts(run, str(folder), artifact_path)

    def log_file(self, run: str, file: Path, artifact_path: str) -> None:
        """Log one file as an artifact."""
        with translate_mlflow_errors(self.tracking_uri):
            self._client.log_artifact(run, str(file), artifact_path)

    def record_cycle(self, run: str, cycle: Cycle) -> None:
        """Write the finished cycle into its run, and end the run; the verdict is written last and counts."""
        with translate_mlflow_errors(self.tracking_uri):
            from mlflow.entities import RunTag

            self._client.log_text(run, cycle.model_dump_json(indent=1), "cycle.json")
            tags = {
                "cl.experience": cycle.experience.id,
                "cl.decision": cycle.decision.action,
                "cl.version": cycle.promotion.version if cycle.promotion else "",
                "cl.drifted": str(cycle.drift.drifted).lower(),
                "mlflow.note.content": "\n\n".join(cycle.decision.reasons),
            }
            self._client.log_batch(run, tags=[RunTag(key, value) for key, value in tags.items()])
            self._client.set_terminated(run, "FINISHED")
            self._client.set_tag(run, VERDICT, cycle.verdict)

    def correct_cycle(self, cycle: Cycle) -> None:
        """Write the record of a finished cycle anew."""
        assert cycle.run is not None
        with translate_mlflow_errors(self.tracking_uri):
            self._client.log_text(cycle.run, cycle.model_dump_json(indent=1), "cycle.json")

    def cycles(self) -> list[Cycle]:
        """Return all finished cycles, oldest first; what a machine has brought once it does not ask for again."""
        with translate_mlflow_errors(self.tracking_uri):
            texts = [read_or_write_text(self.kept, f"{run}.json", partial(self._cycle, run)) for run in self._ended()]
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
        with translate_mlflow_errors(self.tracking_uri):
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

    @cached_property
    def _client(self) -> MlflowClient:
        silence_mlflow()
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
        """Let MLflow's fluent functions use this store, as some things have no client call.

        MLflow also tells the environment, for processes to come; afterwards that is as it was.
        """
        import mlflow

        before, told = mlflow.get_tracking_uri(), {name: os.environ.get(name) for name in PLACES}
        mlflow.set_tracking_uri(self.tracking_uri)
        mlflow.set_registry_uri(self.tracking_uri)
        try:
            yield
        finally:
            mlflow.set_tracking_uri(before)
            mlflow.set_registry_uri("")  # as if it had never been set: the tracking store's
            for name, value in told.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


@contextmanager
def translate_mlflow_errors(tracking_uri: str) -> Iterator[None]:
    """Turn what MLflow raises into one line that names the store."""
    silence_mlflow()
    with translate_store_errors(f"MLflow at {without_password(tracking_uri)}"):
        yield
