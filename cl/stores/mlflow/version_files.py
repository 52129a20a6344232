"""A version's record in its run, and its files in the artifact store."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cl.records import VersionInfo
from cl.stores.hard_links import remove_unfinished_links, share_files
from cl.stores.mlflow.environment import translate_mlflow_errors
from cl.stores.mlflow.outside_changes import is_missing
from cl.stores.mlflow.runs import Runs

RECORD = "version"
"""The folder of a run that holds a version's record: a few kilobytes that outlive the version's files."""
RECORDS = ("history.json", "evaluation.json", "gates.json")
EVALUATION = "evaluation"


@dataclass(frozen=True)
class VersionFiles:
    """The files of one model's versions, and their records in its runs: read one at a time, measured and deleted."""

    runs: Runs

    def log_record(self, run: str, folder: Path) -> None:
        """Store a version's history, evaluation and verdicts in its run, where they outlive its files."""
        for name in RECORDS:
            self.runs.log_file(run, folder / name, RECORD)

    def share_record(self, run: str, version: str | None) -> None:
        """Store what a finished cycle's run has in common with its version, and with this machine, once.

        Nothing is written to these files any more; where the store is elsewhere, there are copies.
        """
        folder, kept = self.runs.files_of(run), self.runs.kept
        if folder is None or not folder.is_dir():
            return
        pairs = [(kept / f"{run}.json", folder / "cycle.json")] if kept is not None else []
        if version is not None and (learner := self.learner_folder(version)) is not None:
            pairs += [(folder / RECORD / name, learner / name) for name in RECORDS]
            pairs += [(folder / EVALUATION / name, learner / "gates.json") for name in ("gate.json", "smoke_test.json")]
        share_files(pairs, folder.parent)

    def record(self, version: VersionInfo, name: str) -> str | None:
        """Return one of a version's JSON records without downloading its other files; None if there is none."""
        if not version.run_id:  # registered by another program
            return None
        with translate_mlflow_errors(self.runs.tracking_uri), tempfile.TemporaryDirectory() as scratch:
            path = f"{RECORD}/{name}"
            if path in (self._stored(version) or []):
                return Path(self.runs.client.download_artifacts(version.run_id, path, scratch)).read_text(
                    encoding="utf-8"
                )
            store = self._artifacts_of(version.version)  # the version is older than records in runs
            files = [
                file
                for file, _ in _walk_files(store, "artifacts")
                if file.endswith(f"/{name}") and file.count("/") == 2
            ]
            return Path(store.download_artifacts(files[0], scratch)).read_text(encoding="utf-8") if files else None

    def keep_record(self, version: VersionInfo) -> None:
        """Copy a version's record into its run if it is missing there: older versions have it in their files only."""
        with translate_mlflow_errors(self.runs.tracking_uri):
            stored = self._stored(version)
            if stored is None:  # its run was removed from MLflow
                return
        for name in RECORDS:
            if f"{RECORD}/{name}" not in stored and (text := self.record(version, name)) is not None:
                with translate_mlflow_errors(self.runs.tracking_uri):
                    self.runs.client.log_text(version.run_id, text, f"{RECORD}/{name}")

    def bytes_of(self, version: VersionInfo) -> int:
        """Return the size of a version's files in the artifact store, in bytes."""
        with translate_mlflow_errors(self.runs.tracking_uri):
            return sum(size for _, size in _walk_files(self._artifacts_of(version.version)))

    def delete_files(self, version: VersionInfo) -> None:
        """Delete a version's files from the artifact store at once; its row, its tags and its run are kept.

        MLflow's own ``delete_model_version`` frees no space: it deletes the row and keeps the files forever.
        """
        with translate_mlflow_errors(self.runs.tracking_uri):
            store = self._artifacts_of(version.version)
            store.delete_artifacts()
            if (folder := folder_of(store)) is not None:
                remove_unfinished_links(models_folder(folder))

    def folder(self, version: str) -> Path | None:
        """Return the folder on this machine in which MLflow stores a version; None: it is elsewhere, or gone."""
        with translate_mlflow_errors(self.runs.tracking_uri):
            folder = folder_of(self._artifacts_of(version))
        return folder if folder is not None and folder.is_dir() else None

    def learner_folder(self, version: str) -> Path | None:
        """Return the folder of a version's own files in `folder`, unchecked; None: it is elsewhere, or gone."""
        folder = self.folder(version)
        learners = [] if folder is None else list(folder.glob("artifacts/*"))
        return learners[0] if len(learners) == 1 else None

    def _stored(self, version: VersionInfo) -> list[str] | None:
        """Return the paths of a version's record in its run; None: MLflow has removed the run."""
        try:
            return [file.path for file in self.runs.client.list_artifacts(version.run_id, RECORD)]
        except Exception as error:  # MLflow's, which is not imported for this
            if not is_missing(error):
                raise
            return None

    def _artifacts_of(self, version: str) -> Any:
        from mlflow.exceptions import MlflowException
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        source = str(self.runs.client.get_model_version(self.runs.model, version).source)
        try:
            return artifacts_of_model(self.runs, source.rsplit("/", 1)[-1])
        except MlflowException as error:
            if not is_missing(error):
                raise
        # the logged model was removed with its experiment; the version still knows where its files are
        location = self.runs.client.get_model_version_download_uri(self.runs.model, version)
        return get_artifact_repository(location, tracking_uri=self.runs.tracking_uri)


def artifacts_of_model(runs: Runs, model_id: str) -> Any:
    """Return MLflow's repository of the files of a logged model."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    location = runs.client.get_logged_model(model_id).artifact_location
    return get_artifact_repository(location, tracking_uri=runs.tracking_uri)


def folder_of(store: Any) -> Path | None:
    """Return the folder of a repository of MLflow, whether it exists or not; None: it is not on this machine."""
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    return Path(store.artifact_dir) if isinstance(store, LocalArtifactRepository) else None


def models_folder(folder: Path) -> Path:
    """Return the folder that holds those of all models of a store; `MODEL/artifacts` is that of one."""
    return folder.parent.parent


def _walk_files(store: Any, path: str | None = None) -> Iterator[tuple[str, int]]:
    """Yield the path and the size in bytes of every file below a path."""
    for artifact in store.list_artifacts(path):
        if artifact.is_dir:
            yield from _walk_files(store, artifact.path)
        else:
            yield artifact.path, artifact.file_size or 0
