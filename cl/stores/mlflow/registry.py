"""MLflow's registry: one version per challenger, with aliases for champion, canary and shadow."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from cl import plugins
from cl.errors import IntegrityError, StoreError
from cl.process.progress import stage
from cl.records import VersionInfo
from cl.stores.files import sha256
from cl.stores.hard_links import copy_or_link_folder, remove_unfinished_links, share_equal_files
from cl.stores.manifest import (
    MANIFEST,
    check_manifest,
    check_wrapping,
    move_sealed_into_place,
    wrapping_digests,
)
from cl.stores.mlflow.environment import requirements, translate_mlflow_errors
from cl.stores.mlflow.outside_changes import (
    HEAD,
    OutsideChange,
    describe_missing_model,
    describe_missing_version,
    is_missing,
)
from cl.stores.mlflow.runs import CYCLE_ID, Runs
from cl.stores.mlflow.version_files import VersionFiles, artifacts_of_model, folder_of, models_folder
from cl.tasks import Column, Task, ValueKind

PYFUNC_MODEL = Path(__file__).parent / "pyfunc_model.py"
RESPONSES_AGENT = Path(__file__).parent / "responses_agent.py"
"""The code by which stock MLflow loads a version, and one that converses."""
SHARE = "cl.share"  # tag of a version
SMOKE_TAG = "cl.smoke"  # tag of a version: whether it passed its last smoke test
GATES, DIGEST, PARENT, COMPARED, FORM = "cl.gates", "cl.gates_digest", "cl.parent", "cl.compared", "cl.form"
"""Tags of a version: whether it passed its gates, the digest of its gates.json, the version that it was made from, the
champion that it was compared with if that is another version, and how it was derived."""
MANIFEST_DIGEST, WRAPPING_DIGESTS = "cl.manifest_digest", "cl.wrapping_digests"
"""Tags of a version: the digest of its manifest, and those of the files that MLflow puts around it, as JSON."""


@dataclass(frozen=True)
class Registry:
    """The versions of one model and their aliases, together with the runs that made them."""

    tracking_uri: str
    artifacts: str | None
    model: str
    kept: Path | None = None
    reading: bool = False

    @cached_property
    def runs(self) -> Runs:
        """The runs that made the versions."""
        return Runs(self.tracking_uri, self.artifacts, self.model, self.kept, self.reading)

    @cached_property
    def files(self) -> VersionFiles:
        """The files of the versions."""
        return VersionFiles(self.runs)

    def initialise(self) -> None:
        """Create or upgrade the database, and create the model's experiment if it does not exist.

        Raises:
            StoreError: the tracking store is unreachable.
        """
        self.runs.initialise()

    def champion(self) -> str | None:
        """Return the version that the alias `champion` points to; four times as fast as reading all aliases."""
        with translate_mlflow_errors(self.tracking_uri):
            try:
                return str(self.runs.client.get_model_version_by_alias(self.model, "champion").version)
            except Exception as error:  # MLflow's, which is not imported for this
                if not is_missing(error):
                    raise
        return self.aliases().get("champion")

    def aliases(self) -> dict[str, str]:
        """Return alias -> version."""
        return {alias: str(version) for model in self._models() for alias, version in dict(model.aliases).items()}

    def set_alias(self, alias: str, version: str) -> None:
        """Point an alias to a version."""
        with translate_mlflow_errors(self.tracking_uri):
            self.runs.client.set_registered_model_alias(self.model, alias, version)

    def delete_alias(self, alias: str, *, version: str | None = None) -> None:
        """Delete an alias if it exists and, if ``version`` is given, points to that version."""
        current = self.aliases().get(alias)
        if current is not None and version in (None, current):
            with translate_mlflow_errors(self.tracking_uri):
                self.runs.client.delete_registered_model_alias(self.model, alias)

    def set_share(self, version: str, share: float | None) -> None:
        """Tag a canary or shadow with its share of the requests; None removes the tag."""
        with translate_mlflow_errors(self.tracking_uri):
            if share is not None:
                self.runs.client.set_model_version_tag(self.model, version, SHARE, f"{share:g}")
            elif SHARE in self.runs.client.get_model_version(self.model, version).tags:
                self.runs.client.delete_model_version_tag(self.model, version, SHARE)

    def ledger_head(self) -> tuple[int, str] | None:
        """Return the sequence number and hash of the last ledger entry that this registry remembers."""
        kept = next((dict(model.tags).get(HEAD) for model in self._models()), None)
        sequence, _, hash = (kept or "").partition(":")
        return (int(sequence), hash) if sequence.isdigit() else None

    def remember_head(self, sequence: int, hash: str) -> None:
        """Remember the ledger's last entry, so that its removal is noticed."""
        with translate_mlflow_errors(self.tracking_uri):
            self.runs.client.set_registered_model_tag(self.model, HEAD, f"{sequence}:{hash}")

    def versions(self) -> list[VersionInfo]:
        """Return all versions, oldest first, with tags and aliases; only to read, they are read once."""
        return list(self._versions_read_once) if self.reading else self._read_versions()

    @cached_property
    def _versions_read_once(self) -> list[VersionInfo]:
        return self._read_versions()

    def _read_versions(self) -> list[VersionInfo]:
        aliases = self.aliases()
        with translate_mlflow_errors(self.tracking_uri):
            registered = self.runs.reader.search_model_versions(f"name='{self.model}'")
        return sorted((_describe(version, aliases) for version in registered), key=lambda info: int(info.version))

    def find(self, version: str) -> VersionInfo | None:
        """Return one version, with tags and aliases, without reading the others; None: it is gone."""
        if not version.isdigit():
            return None
        with translate_mlflow_errors(self.tracking_uri):
            try:
                registered = self.runs.reader.get_model_version(self.model, version)
            except Exception as error:  # MLflow's, which is not imported for this
                if not is_missing(error):
                    raise
                return None
        return _describe(registered, self.aliases())

    def tags(self, version: str) -> dict[str, str]:
        """Return the tags of one version.

        Raises:
            StoreError: there is no such version; the message says what became of it, and what to do.
        """
        with translate_mlflow_errors(self.tracking_uri):
            try:
                return dict(self.runs.client.get_model_version(self.model, version).tags)
            except Exception as error:
                if not is_missing(error):
                    raise
                raise StoreError(describe_missing_version(self.runs.client, self.model, version)) from None

    def missing_model(self) -> OutsideChange | None:
        """Return what became of the registered model if it has no version, with the remedy; None: it has one."""
        if self.versions():
            return None
        with translate_mlflow_errors(self.tracking_uri):
            return describe_missing_model(self.runs.client, self.model)

    def tag_version(self, version: str, key: str, value: str) -> None:
        """Set a tag of a version."""
        with translate_mlflow_errors(self.tracking_uri):
            self.runs.client.set_model_version_tag(self.model, version, key, value)

    def description(self, version: str) -> str:
        """Return what the page of a version says; empty: nothing."""
        with translate_mlflow_errors(self.tracking_uri):
            return str(self.runs.client.get_model_version(self.model, version).description or "")

    def describe_version(self, version: str, text: str) -> None:
        """Set what the page of a version says, in Markdown."""
        with translate_mlflow_errors(self.tracking_uri):
            self.runs.client.update_model_version(self.model, version, text)

    def model_description(self) -> str:
        """Return what the page of the registered model says; empty: nothing."""
        return next((str(model.description or "") for model in self._models()), "")

    def describe_model(self, text: str) -> None:
        """Set what the page of the registered model says, in Markdown."""
        with translate_mlflow_errors(self.tracking_uri):
            self.runs.client.update_registered_model(self.model, text)

    def version_for_cycle(self, cycle: str) -> str | None:
        """Return the version that a cycle registered, or None."""
        condition = f"name='{self.model}' AND tags.`{CYCLE_ID}` = '{cycle}'"
        with translate_mlflow_errors(self.tracking_uri):
            numbers = [int(version.version) for version in self.runs.reader.search_model_versions(condition)]
        return str(min(numbers)) if numbers else None

    def download(self, version: str, folder: Path) -> Path:
        """Download a version's learner to a folder, complete and checked against its manifest.

        From a store on this machine, large files come as hard links: nobody may write to the folder's files.

        Raises:
            StoreError: the version cannot be downloaded.
            IntegrityError: a file differs from the one registered.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        uri, tags = f"models:/{self.model}/{version}", self.tags(version)
        with (
            stage(f"fetch version {version}"),
            translate_mlflow_errors(self.tracking_uri),
            self.runs.tracking(),
            tempfile.TemporaryDirectory(prefix=".draft-", dir=folder.parent) as scratch,
        ):
            downloaded = self._bring(version, Path(scratch))
            learners = list(downloaded.glob("artifacts/*"))
            if len(learners) != 1:
                raise IntegrityError(f"{uri}: holds no learner; it was not registered by Perennial")
            try:
                check_wrapping(downloaded, learners[0], _read_digests(tags.get(WRAPPING_DIGESTS)))
                check_manifest(learners[0], tags.get(MANIFEST_DIGEST))
            except IntegrityError as error:
                problem = str(error).removeprefix(f"{learners[0]}: ").removeprefix(f"{downloaded.name}: ")
                raise IntegrityError(f"{uri}: {problem}; restore it from a backup, or `cl rollback`") from None
            move_sealed_into_place(learners[0], folder)
        return folder

    def _bring(self, version: str, scratch: Path) -> Path:
        """Return a version as MLflow stores it, in a folder of its own."""
        if (stored := self.files.folder(version)) is not None:
            return copy_or_link_folder(stored, scratch / "version")
        import mlflow

        uri = f"models:/{self.model}/{version}"
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(scratch)))

    def log_version(self, run: str, learner: Path, *, tags: dict[str, str], metrics: dict[str, float]) -> str:
        """Log a sealed learner folder as an MLflow model and register it; return the version.

        If the same cycle has already registered a version, that version is returned.
        """
        known = self.version_for_cycle(tags[CYCLE_ID])
        if known is not None:
            return known
        import mlflow

        task = plugins.build(Task, json.loads((learner / "learner.json").read_text(encoding="utf-8"))["task"])
        converses = task.schema.input is not None and task.schema.input.kind is ValueKind.MESSAGES
        with translate_mlflow_errors(self.tracking_uri), self.runs.tracking(), mlflow.start_run(run_id=run):
            logged = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(RESPONSES_AGENT if converses else PYFUNC_MODEL),
                artifacts={"learner": learner.resolve().as_uri()},  # MLflow would unquote a path
                signature=None if converses else _signature(task),  # an agent's is MLflow's own
                pip_requirements=requirements(*(["onnxruntime"] if any(learner.rglob("*.onnx")) else [])),
                tags=tags,
            )
            mlflow.log_metrics(metrics, model_id=logged.model_id)
            if not self.runs.client.search_registered_models(f"name='{self.model}'"):
                self.runs.client.create_registered_model(self.model)
            related = {tags.get(PARENT, ""), tags.get(COMPARED, ""), *self._newest()} - {""}
            self._share_files(logged.model_id, related)
            digests = self._stored_wrapping(logged.model_id)
            pins = {MANIFEST_DIGEST: sha256(learner / MANIFEST), WRAPPING_DIGESTS: json.dumps(digests)}
            # one call creates the version with its tags, so it never exists without its verdict
            registered = self.runs.client.create_model_version(
                self.model, logged.model_uri, run_id=run, tags={**tags, **pins}, model_id=logged.model_id
            )
        return str(registered.version)

    def _newest(self) -> list[str]:
        """Return the version that was registered last; [] if there is none."""
        condition, order = f"name='{self.model}'", ["version_number DESC"]
        newest = self.runs.client.search_model_versions(condition, max_results=1, order_by=order)
        return [str(version.version) for version in newest]

    def _share_files(self, model_id: str, versions: Set[str]) -> None:
        """Store what a logged model has in common with versions once, if the store is on this machine."""
        folder = folder_of(artifacts_of_model(self.runs, model_id))
        if folder is None:
            return
        remove_unfinished_links(models_folder(folder))
        others = list[Path]()
        for version in sorted(versions):
            with suppress(StoreError):  # it was deleted in MLflow
                others += [other] if (other := self.files.learner_folder(version)) is not None else []
        for learner in folder.glob("artifacts/*"):
            share_equal_files(learner, others, models_folder(folder))

    def _stored_wrapping(self, model_id: str) -> dict[str, str]:
        """Return name -> SHA-256 of the files that MLflow has put around the learner of a logged model."""
        with tempfile.TemporaryDirectory() as scratch:
            store = artifacts_of_model(self.runs, model_id)
            for artifact in store.list_artifacts():
                if not artifact.is_dir:
                    store.download_artifacts(artifact.path, scratch)
            return wrapping_digests(Path(scratch), Path(scratch) / "artifacts")

    def _models(self) -> list[Any]:
        with translate_mlflow_errors(self.tracking_uri):
            return list(self.runs.client.search_registered_models(f"name='{self.model}'"))


def _describe(registered: Any, aliases: Mapping[str, str]) -> VersionInfo:
    """Return what MLflow has registered as a record."""
    version = str(registered.version)
    return VersionInfo(
        version=version,
        created=datetime.fromtimestamp(registered.creation_timestamp / 1000, UTC),
        run_id=registered.run_id or "",
        tags=dict(registered.tags),
        aliases=sorted(alias for alias, number in aliases.items() if number == version),
    )


def _read_digests(tag: str | None) -> dict[str, str] | None:
    """Return the digests in a tag; None for versions of older releases.

    Raises:
        IntegrityError: the tag does not hold any.
    """
    if tag is None:
        return None
    try:
        digests = json.loads(tag)
    except json.JSONDecodeError:
        digests = None
    if not isinstance(digests, dict):
        raise IntegrityError(f"its tag {WRAPPING_DIGESTS} is damaged")
    return digests


def _signature(task: Task) -> Any:
    """Return the task's input and output columns, for MLflow's model page and for serving.

    Lists that come in have no type: MLflow would refuse a whole frame for one missing list, and turn a missing token
    into a word.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType, Array

    answer = task.schema.answer

    def specification(column: Column) -> ColSpec:
        kind = AnyType() if column.kind.is_list else DataType.string
        return ColSpec(kind, column.name, required=not column.optional)

    numbers = answer.kind in (ValueKind.SPAN, ValueKind.NUMBERS)
    listed = Array(DataType.long if numbers else DataType.string)
    return ModelSignature(
        inputs=Schema([specification(column) for column in task.schema.inputs]),
        outputs=Schema(
            [
                ColSpec(listed if answer.kind.is_list else DataType.string, answer.name, required=False),
                ColSpec(DataType.double, "confidence", required=False),
                ColSpec(DataType.string, "error", required=False),
            ]
        ),
    )
