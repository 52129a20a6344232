"""MLflow's runs: one per cycle, with everything that it measured and did."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cl.records import Cycle
from cl.redaction import without_password
from cl.stores.connectivity import guard_first_use
from cl.stores.files import read_or_write_text, write_text
from cl.stores.mlflow.database_client import ALL, DatabaseClient, read_database
from cl.stores.mlflow.environment import silence_mlflow, translate_mlflow_errors
from cl.stores.mlflow.markdown import escape_markdown
from cl.stores.mlflow.outside_changes import ExperimentState, find_experiment, put_back, refuse_changed, restore_runs
from cl.stores.mlflow.past_cycles import PastCycles
from cl.stores.mlflow.server_client import ServerClient, read_server

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREDICTIONS = "evaluation/predictions.parquet"
CYCLE_ID, VERDICT, SET_ASIDE = "cl.cycle_id", "cl.verdict", "cl.set_aside"
BATCH = 100  # the most values that MLflow accepts in one call
PAGE = 1_000  # runs per search request
MARGIN = timedelta(days=1)
"""How far back a server is asked for cycles that another machine has finished: clocks differ."""
TRACKING_VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")


@dataclass(frozen=True)
class Runs:
    """The runs of one model in one MLflow tracking store.

    ``tracking_uri`` is absolute. ``artifacts`` is where a new experiment stores its files: an absolute path, a URI, or
    None for the server's default. ``kept`` is a local cache folder for records that never change. ``reading``: nothing
    is written, so that a database can be read without MLflow's client.
    """

    tracking_uri: str
    artifacts: str | None
    model: str
    kept: Path | None = None
    reading: bool = False

    def initialise(self) -> None:
        """Create or upgrade the database, and create the model's experiment if it does not exist.

        Raises:
            StoreError: the tracking store is unreachable.
        """
        with translate_mlflow_errors(self.tracking_uri):
            if self._only_reads:
                return
        with (
            translate_mlflow_errors(self.tracking_uri),
            guard_first_use(self.tracking_uri, f"MLflow at {self.tracking_uri}"),
        ):
            self._experiment_state  # noqa: B018  # reading the property creates the experiment

    def start_run(self, cycle: str, name: str, tags: dict[str, str]) -> str:
        """Return the id of the cycle's run; a restarted cycle gets its existing run."""
        with translate_mlflow_errors(self.tracking_uri):
            if (known := self._run_of(cycle)) is not None:
                if self.client.get_run(known).info.lifecycle_stage == "deleted":
                    self.client.restore_run(known)
                return known
            run = self.client.create_run(self._experiment, run_name=name, tags={**tags, CYCLE_ID: cycle})
            result: str = run.info.run_id
            return result

    def log_params(self, run: str, params: dict[str, Any]) -> None:
        """Log parameters that are not logged yet; MLflow does not allow changes."""
        with translate_mlflow_errors(self.tracking_uri):
            from mlflow.entities import Param

            known = self.client.get_run(run).data.params
            new = [Param(key, str(value)[:500]) for key, value in params.items() if key not in known]
            for start in range(0, len(new), BATCH):
                self.client.log_batch(run, params=new[start : start + BATCH])

    def log_metrics(self, run: str, metrics: dict[str, float]) -> None:
        """Log metrics by name; one that the run has with this value is not logged again."""
        with translate_mlflow_errors(self.tracking_uri):
            known = self.client.get_run(run).data.metrics
        self._log_values(run, [(key, value, 0) for key, value in metrics.items() if known.get(key) != value])

    def log_series(self, run: str, name: str, values: Sequence[float | None]) -> None:
        """Log one value per epoch; None: the epoch has none."""
        self._log_values(run, [(name, value, step) for step, value in enumerate(values, start=1) if value is not None])

    def _log_values(self, run: str, values: list[tuple[str, float, int]]) -> None:
        """Log metrics with their steps in batches, because a server may authenticate each call slowly."""
        with translate_mlflow_errors(self.tracking_uri):
            from mlflow.entities import Metric

            now = int(time.time() * 1000)
            metrics = [Metric(key, value, now, step) for key, value, step in values]
            for start in range(0, len(metrics), BATCH):
                self.client.log_batch(run, metrics=metrics[start : start + BATCH])

    def log_dataset(self, run: str, name: str, *, digest: str, source: str, rows: int) -> None:
        """Log the data that a run learned from, with the first 36 characters (MLflow's limit) of its DVC digest."""
        with translate_mlflow_errors(self.tracking_uri):
            from mlflow.entities import Dataset, DatasetInput, InputTag

            location, profile = json.dumps({"uri": source}), json.dumps({"num_rows": rows})
            data = Dataset(name, digest[:36], "local", location, profile=profile)
            self.client.log_inputs(run, [DatasetInput(data, [InputTag("mlflow.data.context", "training")])])

    def log_folder(self, run: str, folder: Path, artifact_path: str) -> None:
        """Log all files of a folder as artifacts."""
        with translate_mlflow_errors(self.tracking_uri):
            self.client.log_artifacts(run, str(folder), artifact_path)

    def log_file(self, run: str, file: Path, artifact_path: str) -> None:
        """Log one file as an artifact."""
        with translate_mlflow_errors(self.tracking_uri):
            self.client.log_artifact(run, str(file), artifact_path)

    def end_run(self, run: str) -> None:
        """End a run that belongs to no cycle."""
        with translate_mlflow_errors(self.tracking_uri):
            self.client.set_terminated(run, "FINISHED")

    def record_cycle(self, run: str, cycle: Cycle) -> None:
        """Write the finished cycle to its run and end the run; the verdict, written last, marks it complete."""
        with translate_mlflow_errors(self.tracking_uri):
            from mlflow.entities import RunTag

            text = cycle.model_dump_json(exclude_defaults=True)
            self.client.log_text(run, text, "cycle.json")
            tags = {
                "cl.experience": cycle.experience.id,
                "cl.decision": cycle.decision.action,
                "cl.version": cycle.promotion.version if cycle.promotion else "",
                "cl.drifted": str(cycle.drift.drifted).lower(),
                "mlflow.note.content": "\n\n".join(
                    escape_markdown(reason, most=1_000) for reason in cycle.decision.reasons[:5]
                ),
            }
            self.client.log_batch(run, tags=[RunTag(key, value) for key, value in tags.items()])
            self.client.set_terminated(run, "FINISHED")
            self.client.set_tag(run, VERDICT, cycle.verdict)
        if self.kept is not None:  # should MLflow lose the run
            write_text(self.kept / f"{run}.json", text)

    def files_of(self, run: str) -> Path | None:
        """Return the folder of a run's files; None: they are not on this machine, or MLflow alone knows where."""
        with translate_mlflow_errors(self.tracking_uri):
            return None if self._light is None else self._light.files_of(run)

    def correct_cycle(self, cycle: Cycle) -> None:
        """Rewrite the record of a finished cycle."""
        assert cycle.run is not None
        with translate_mlflow_errors(self.tracking_uri):
            self.client.log_text(cycle.run, cycle.model_dump_json(exclude_defaults=True), "cycle.json")

    def cycles(self, *, last: int | None = None) -> list[Cycle]:
        """Return the finished cycles, oldest first: all, or the newest ones; each machine downloads a record once."""
        if last is None:
            self._index_cycles(self._finished_runs(""), whole=True)
        past = self._past if last is None else self.past
        return [self.cycle(run) for run in past.newest_runs(last)]

    def cycle(self, run: str) -> Cycle:
        """Return the finished cycle of a run."""
        with translate_mlflow_errors(self.tracking_uri):
            text = read_or_write_text(self.kept, f"{run}.json", partial(self._download_cycle, run))
        return Cycle.model_validate_json(text)

    @property
    def past(self) -> PastCycles:
        """The outlines of the finished cycles, those included that another machine has finished since."""
        return self._past_read_once if self.reading else self._read_past()

    @cached_property
    def _past_read_once(self) -> PastCycles:
        return self._read_past()

    def _read_past(self) -> PastCycles:
        last = self._past.last_end() if self._light is None else None
        since = f" AND attributes.end_time >= {int(1_000 * (last - MARGIN).timestamp())}" if last else ""
        self._index_cycles(self._finished_runs(since), whole=last is None)
        return self._past

    def _index_cycles(self, finished: Iterable[tuple[str, int]], *, whole: bool) -> None:
        """Add the cycles that the index lacks; where ``finished`` are the ``whole`` of them, remove all others."""
        with translate_mlflow_errors(self.tracking_uri):
            runs = dict(finished)
        known = self._past.runs()
        if whole and (gone := known.keys() - runs.keys()):
            self._past.remove(gone)
        if missing := {run: begun for run, begun in runs.items() if run not in known}:
            self._past.add({(run, begun): self.cycle(run) for run, begun in missing.items()})

    @cached_property
    def _past(self) -> PastCycles:
        return PastCycles(None if self.kept is None else self.kept.with_name("cycles.sqlite"))

    def _download_cycle(self, run: str) -> str:
        with tempfile.TemporaryDirectory() as scratch:
            return Path(self.client.download_artifacts(run, "cycle.json", scratch)).read_text(encoding="utf-8")

    def problem(self) -> str | None:
        """Return what was done to the experiment outside Perennial, with the remedy; None: nothing."""
        with translate_mlflow_errors(self.tracking_uri):
            return find_experiment(self.client, self.model).describe(self.model)

    def recorded(self) -> tuple[dict[str, str], set[str]]:
        """Return the stage of each cycle's run, ``active`` or ``deleted``, and the experiences with a finished cycle.

        A run that MLflow has removed for good is not there.
        """
        with translate_mlflow_errors(self.tracking_uri):
            tagged = self._tagged([CYCLE_ID, VERDICT, "cl.experience"])
        stages = {tags[CYCLE_ID]: stage for stage, tags in tagged if CYCLE_ID in tags}
        return stages, {tags["cl.experience"] for _, tags in tagged if VERDICT in tags and "cl.experience" in tags}

    def _tagged(self, keys: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
        """Return the stage of every run, and its tags, or those of them that are asked for."""
        if self._light is None:
            return [(run.info.lifecycle_stage, run.data.tags) for run in self._search("", ALL)]
        experiment = self._experiment_or_none
        return [] if experiment is None else self._light.stages_and_tags(experiment, keys)

    def put_back(self) -> list[str]:
        """Undo what was done in MLflow to experiment, runs and model, as far as possible; return what was done.

        Cycles whose runs were removed for good are recorded again if this machine knows them.
        """
        with translate_mlflow_errors(self.tracking_uri):
            done = put_back(self.client, self.model)
            self.__dict__.pop("_experiment_state", None)
            if find_experiment(self.client, self.model).state == "removed":
                self._create_experiment()
                done.append(f"an experiment '{self.model}' was created in place of the one that was removed")
            restored = restore_runs(self.client, self._experiment, f"tags.`{CYCLE_ID}` != ''")
            done += [f"the run of {name} was restored" for name in restored]
        return done + [f"the cycle of {name} was recorded again" for name in self._record_again()]

    def _record_again(self) -> list[str]:
        """Record the lost cycles again whose records this machine keeps, and return their experiences."""
        names, known = list[str](), self.recorded()[0]
        kept = sorted(self.kept.glob("*.json")) if self.kept and self.kept.is_dir() else []
        cycles = [(path, Cycle.model_validate_json(path.read_bytes())) for path in kept]
        for path, cycle in sorted(cycles, key=lambda pair: pair[1].started_at):
            if cycle.id in known:
                continue
            run = self.start_run(cycle.id, cycle.experience.id, {"cl.data_version": cycle.data_version})
            self.record_cycle(run, cycle.model_copy(update={"run": run}))
            path.unlink()
            names.append(cycle.experience.id)
        return names

    def set_cycles_aside(self) -> None:
        """Take the finished cycles out of the history: their versions are lost, and their data is learned again."""
        with translate_mlflow_errors(self.tracking_uri):
            for run in dict(self._finished_runs("")):
                self.client.set_tag(run, SET_ASIDE, "true")
                self.client.delete_tag(run, VERDICT)
        self._past.remove(self._past.runs())

    def _finished_runs(self, condition: str) -> Iterator[tuple[str, int]]:
        """Yield the runs of finished cycles, and when each began in milliseconds since 1970, oldest first.

        One that was deleted counts while MLflow keeps it. A server and MLflow's client send each run with all that was
        logged to it; the condition says which of them they shall send.
        """
        if self._light is None:
            runs = self._search(f"tags.`{VERDICT}` != ''{condition}", ALL)
            yield from ((run.info.run_id, int(run.info.start_time)) for run in runs)
        elif (experiment := self._experiment_or_none) is not None:
            yield from self._light.tagged_runs(experiment, VERDICT)

    def _search(self, condition: str, view: int) -> Iterator[Any]:
        experiment, order, token = self._experiment_or_none, ["attributes.start_time ASC"], None
        while experiment is not None:
            runs = self.reader.search_runs(
                [experiment], condition, run_view_type=view, max_results=PAGE, order_by=order, page_token=token
            )
            yield from runs
            if not (token := runs.token):
                return

    def evaluated(self, cycle: str, folder: Path) -> Path | None:
        """Download the evaluation rows of a cycle to a folder; None if they no longer exist."""
        with translate_mlflow_errors(self.tracking_uri):
            run = self._run_of(cycle)
        return self.evaluated_in(run, folder) if run else None

    def evaluated_in(self, run: str, folder: Path) -> Path | None:
        """Download the evaluation rows of a run to a folder; None if they no longer exist."""
        with translate_mlflow_errors(self.tracking_uri):
            if PREDICTIONS in [file.path for file in self.reader.list_artifacts(run, "evaluation")]:
                return Path(self.reader.download_artifacts(run, PREDICTIONS, str(folder)))
        return None

    def page(self, run: str) -> str | None:
        """Return the URL of a run's page on the tracking server; None if there is no server."""
        uri = without_password(self.tracking_uri)
        return f"{uri}/#/experiments/{self._experiment}/runs/{run}" if uri.startswith("http") else None

    def _run_of(self, cycle: str) -> str | None:
        return next((run.info.run_id for run in self._search(f"tags.`{CYCLE_ID}` = '{cycle}'", ALL)), None)

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client of this store; only to read, a light one with the same methods, where that is possible."""
        if self.reading:
            store = f"MLflow at {self.tracking_uri}"
            light = read_database(self.tracking_uri, store) or read_server(self.tracking_uri, store)
            if light is not None:
                return cast("MlflowClient", light)
        silence_mlflow()
        from mlflow import MlflowClient

        return MlflowClient(self.tracking_uri, self.tracking_uri)

    @cached_property
    def _light(self) -> DatabaseClient | None:
        """What reads MLflow's database directly; None: it is a server, or a database that is not known."""
        if self.reading:
            return self.client if isinstance(self.client, DatabaseClient) else None
        self._experiment_state  # noqa: B018  # MLflow's client has made or upgraded the database by then
        return read_database(self.tracking_uri, f"MLflow at {self.tracking_uri}")

    @property
    def reader(self) -> MlflowClient:
        """What reads much at once: MLflow's database itself where that is possible, for the client is slow at it."""
        return self.client if self._light is None else cast("MlflowClient", self._light)

    @property
    def _only_reads(self) -> bool:
        return self.reading and isinstance(self.client, DatabaseClient | ServerClient)

    @property
    def _experiment_or_none(self) -> str | None:
        """The experiment's id; None: nothing was recorded yet, and this is only to read.

        Raises:
            StoreError: it was deleted or renamed in MLflow.
        """
        state = self._experiment_state
        return None if state.state == "new" else refuse_changed(state, self.model)

    @property
    def _experiment(self) -> str:
        """The experiment's id.

        Raises:
            StoreError: it was deleted or renamed in MLflow.
        """
        return refuse_changed(self._experiment_state, self.model)

    @cached_property
    def _experiment_state(self) -> ExperimentState:
        state = find_experiment(self.client, self.model)
        is_created = state.state == "new" and not self._only_reads
        return ExperimentState("active", self._create_experiment(), self.model) if is_created else state

    def _create_experiment(self) -> str:
        location = self.artifacts
        if location is not None and "://" not in location:
            location = Path(location).as_uri()
        return self.client.create_experiment(self.model, artifact_location=location)

    @contextmanager
    def tracking(self) -> Iterator[None]:
        """Point MLflow's fluent functions at this store, for operations that the client lacks.

        MLflow also sets environment variables for child processes; they are restored afterwards.
        """
        import mlflow

        before, variables = mlflow.get_tracking_uri(), {name: os.environ.get(name) for name in TRACKING_VARIABLES}
        mlflow.set_tracking_uri(self.tracking_uri)
        mlflow.set_registry_uri(self.tracking_uri)
        try:
            yield
        finally:
            mlflow.set_tracking_uri(before)
            mlflow.set_registry_uri("")  # unset: the same as the tracking store
            for name, value in variables.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
