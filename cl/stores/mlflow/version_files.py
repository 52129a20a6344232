"""What the registry keeps of a version beside its row: its record in the run, and its files in the artifact store."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cl.records import VersionInfo
from cl.stores.mlflow.runs import Runs, translate_mlflow_errors

RECORD = "version"
"""Folder of a run with what a version's files say of it: a few kilobytes that outlive the files."""
RECORDS = ("history.json", "evaluation.json", "gates.json")
EVALUATION = "evaluation"


@dataclass(frozen=True)
class VersionFiles(Runs):
    """The files of one model's versions, read one by one, weighed and removed."""

    def log_record(self, run: str, folder: Path) -> None:
        """Keep a version's history, evaluation and verdicts in its run, where they stay when its files are removed."""
        for name in RECORDS:
            self.log_file(run, folder / name, RECORD)

    def record(self, version: VersionInfo, name: str) -> str | None:
        """Return one of the JSON files that describe a version, without bringing the rest; None: it is nowhere."""
        if not version.run_id:  # registered by something else
            return None
        with translate_mlflow_errors(self.tracking_uri), tempfile.TemporaryDirectory() as scratch:
            path = f"{RECORD}/{name}"
            if path in [one.path for one in self._client.list_artifacts(version.run_id, RECORD)]:
                return Path(self._client.download_artifacts(version.run_id, path, scratch)).read_text(encoding="utf-8")
            store = self._artifacts_of(version)  # of a version from before there were records
            found = [one for one, _ in _files(store, "artifacts") if one.endswith(f"/{name}") and one.count("/") == 2]
            return Path(store.download_artifacts(found[0], scratch)).read_text(encoding="utf-8") if found else None

    def keep_record(self, version: VersionInfo) -> None:
        """Make sure that a version's record is in its run: one from before there were records has it in its files."""
        with translate_mlflow_errors(self.tracking_uri):
            there = [one.path for one in self._client.list_artifacts(version.run_id, RECORD)]
        for name in RECORDS:
            if f"{RECORD}/{name}" not in there and (text := self.record(version, name)) is not None:
                with translate_mlflow_errors(self.tracking_uri):
                    self._client.log_text(version.run_id, text, f"{RECORD}/{name}")

    def bytes_of(self, version: VersionInfo) -> int:
        """Return how many bytes a version's files take in the artifact store."""
        with translate_mlflow_errors(self.tracking_uri):
            return sum(size for _, size in _files(self._artifacts_of(version)))

    def delete_files(self, version: VersionInfo) -> None:
        """Remove a version's files from the artifact store at once; its row, its tags and its run stay.

        MLflow's own ``delete_model_version`` frees nothing: it takes away the row, and the files stay for ever.
        """
        with translate_mlflow_errors(self.tracking_uri):
            self._artifacts_of(version).delete_artifacts()

    def tag_version(self, version: str, key: str, value: str) -> None:
        """Set one tag of a version."""
        with translate_mlflow_errors(self.tracking_uri):
            self._client.set_model_version_tag(self.model, version, key, value)

    def end_run(self, run: str) -> None:
        """End a run that is no cycle."""
        with translate_mlflow_errors(self.tracking_uri):
            self._client.set_terminated(run, "FINISHED")

    def _artifacts_of(self, version: VersionInfo) -> Any:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        source = str(self._client.get_model_version(self.model, version.version).source)
        location = self._client.get_logged_model(source.rsplit("/", 1)[-1]).artifact_location
        return get_artifact_repository(location, tracking_uri=self.tracking_uri)


def _files(store: Any, path: str | None = None) -> Iterator[tuple[str, int]]:
    """Yield the path and the bytes of every file below a path."""
    for one in store.list_artifacts(path):
        if one.is_dir:
            yield from _files(store, one.path)
        else:
            yield one.path, one.file_size or 0
