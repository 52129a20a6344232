"""The runs of finished cycles by their tags: from MLflow's database without MLflow, or from its server.

MLflow's own client upgrades a database that it opens and takes seconds to import; a query of three tables does neither.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cl.stores.mlflow.environment import translate_mlflow_errors
from cl.stores.mlflow.runs import PAGE, VERDICT

if TYPE_CHECKING:
    import sqlalchemy as sa

EXPERIENCE, VERSION = "cl.experience", "cl.version"
_one_at_a_time = threading.Lock()
"""MLflow's client keeps what it knows of a store in variables of the process."""


@dataclass(frozen=True)
class FinishedRun:
    """A finished cycle, as its run's tags describe it; ``version`` is what it registered, if anything."""

    id: str
    experience: str
    verdict: str
    version: str | None
    artifacts: str


def runs_in_database(connection: sa.Connection, model: str) -> list[FinishedRun]:
    """Return the runs of a model's finished cycles, oldest first, from MLflow's tables."""
    artifacts: dict[str, str] = {}
    tags: dict[str, dict[str, str]] = {}
    for id, uri, name, value in connection.execute(_tags_of(model)):
        artifacts[id] = uri or ""
        tags.setdefault(id, {})[name] = value or ""
    return list(_finished((id, artifacts[id], tags[id]) for id in artifacts))


def _tags_of(model: str) -> sa.Select[tuple[str, str, str, str]]:
    import sqlalchemy as sa

    runs = sa.table("runs", *map(sa.column, ("run_uuid", "artifact_uri", "experiment_id", "start_time")))
    experiments = sa.table("experiments", sa.column("experiment_id"), sa.column("name"))
    tags = sa.table("tags", *map(sa.column, ("run_uuid", "key", "value")))
    joined = runs.join(experiments, runs.c.experiment_id == experiments.c.experiment_id)
    return (
        sa.select(runs.c.run_uuid, runs.c.artifact_uri, tags.c.key, tags.c.value)
        .select_from(joined.join(tags, tags.c.run_uuid == runs.c.run_uuid))
        .where(experiments.c.name == model, tags.c.key.in_((VERDICT, EXPERIENCE, VERSION)))
        .order_by(runs.c.start_time, runs.c.run_uuid)
    )


def runs_on_server(uri: str, model: str) -> list[FinishedRun]:
    """Return the runs of a model's finished cycles, oldest first, from a tracking server.

    Raises:
        StoreError: the server does not answer, or refuses.
    """
    with _one_at_a_time, translate_mlflow_errors(uri):
        from mlflow import MlflowClient
        from mlflow.entities import ViewType

        client = MlflowClient(uri, uri)
        experiment = client.get_experiment_by_name(model)
        runs, token = list[FinishedRun](), None
        while experiment is not None:
            page = client.search_runs(
                [experiment.experiment_id],
                f"tags.`{VERDICT}` != ''",
                run_view_type=ViewType.ALL,
                max_results=PAGE,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            runs += _finished((run.info.run_id, run.info.artifact_uri, run.data.tags) for run in page)
            if not (token := page.token):
                break
        return runs


def download_cycle(uri: str, run: str, folder: Path) -> str:
    """Return the text of a cycle's record, downloaded to a folder.

    Raises:
        StoreError: the store does not answer, or has no such record.
    """
    with _one_at_a_time, translate_mlflow_errors(uri):
        from mlflow import MlflowClient

        path = MlflowClient(uri, uri).download_artifacts(run, "cycle.json", str(folder))
        return Path(path).read_text(encoding="utf-8")


def _finished(runs: Iterable[tuple[str, str, Mapping[str, str]]]) -> Iterable[FinishedRun]:
    for id, artifacts, tags in runs:
        if tags.get(VERDICT):
            yield FinishedRun(id, tags.get(EXPERIENCE, ""), tags[VERDICT], tags.get(VERSION) or None, artifacts)
