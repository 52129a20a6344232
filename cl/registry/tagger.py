"""The tagger of a pipeline: the version of another model that finds the spans, resolved, fetched and checked.

Its own project learns, promotes and rolls it back; here it is only read. What is wrong with it is one line that names
`pipeline.tagger`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cl import plugins
from cl.config import Config
from cl.config.pipeline import PipelineSettings
from cl.errors import InputError, PerennialError
from cl.process.progress import stage
from cl.records import VersionInfo
from cl.records.evaluation import END_TO_END_F1
from cl.redaction import without_password
from cl.stores.files import move_into_place
from cl.stores.manifest import check_manifest
from cl.stores.mlflow.registry import MANIFEST_DIGEST, Registry
from cl.stores.stores import Stores, from_environment
from cl.stores.version_copies import IN_USE_SECONDS, mark_used
from cl.tasks import Task, ValueKind

if TYPE_CHECKING:
    from cl.models.pairs import PairFinder

KEY = "pipeline.tagger"
SQLITE = "sqlite:///"
FOLDER = "taggers"
"""The folder below .cl/ with this machine's copies, all of which can be fetched again."""
TAGGER, END_TO_END = "cl.tagger", "cl.end_to_end_f1"
"""Tags of a version that answers pairs: the tagger that it was last evaluated with, and the end-to-end F1 then."""


@dataclass(frozen=True)
class TaggerVersion:
    """A version that finds spans, and its checked folder on this machine."""

    model: str
    version: str
    folder: Path

    @property
    def name(self) -> str:
        """What answers and records call it: NAME@VERSION."""
        return f"{self.model}@{self.version}"


def tagger_tags(tagger: str | None, numbers: Mapping[str, float]) -> dict[str, str]:
    """Return the tags of a version that was evaluated with a tagger; none: it was evaluated without.

    >>> tagger_tags("people@2", {"end_to_end_f1": 0.5})
    {'cl.tagger': 'people@2', 'cl.end_to_end_f1': '0.500000'}
    """
    score = numbers.get(END_TO_END_F1)
    return {} if tagger is None else {TAGGER: tagger, END_TO_END: "" if score is None else f"{score:.6f}"}


def resolve_tagger(config: Config, stores: Stores) -> str | None:
    """Return the version that the configuration names, as NAME@VERSION; None: there is no tagger.

    Raises:
        InputError: there is no such model, or no such version.
    """
    named = config.pipeline.tagger_parts
    return None if named is None else f"{named[0]}@{_resolve(config.pipeline, stores, *named)[1].version}"


def fetch_tagger(config: Config, stores: Stores, *, version: str | None = None) -> TaggerVersion | None:
    """Return the tagger with its folder, verified against its manifest; None: there is no tagger.

    Args:
        config: the configuration that names it.
        stores: the project's stores.
        version: another version of the same model; None: the one that is named.

    Raises:
        InputError: there is no such version, it is of another task, it knows no entity, or it cannot be fetched.
    """
    named = config.pipeline.tagger_parts
    if named is None:
        return None
    registry, info = _resolve(config.pipeline, stores, named[0], version or named[1])
    folder = stores.project.work / FOLDER / registry.model / info.version
    tagger = TaggerVersion(registry.model, info.version, folder)
    try:
        _bring(registry, info, folder)
    except (PerennialError, OSError) as error:
        raise InputError(f"{KEY}: {tagger.name} cannot be loaded: {error}") from None
    _check_fit(tagger, config.pipeline)
    return tagger


def load_finder(tagger: TaggerVersion, settings: PipelineSettings) -> PairFinder:
    """Return what finds the pairs of spans in texts with a tagger.

    Raises:
        InputError: its files cannot be loaded.
    """
    from cl.models.pairs import PairFinder, tag_with

    with stage(f"load {tagger.name}"):
        from cl.models.persistence import load_learner

        try:
            learner = load_learner(tagger.folder)
        except PerennialError as error:
            raise InputError(f"{KEY}: {tagger.name} cannot be loaded: {error}") from None
    return PairFinder(tagger.name, tag_with(learner), settings)


def open_finder(config: Config, stores: Stores, *, version: str | None = None) -> PairFinder | None:
    """Return what finds the pairs of spans in bare texts; None: the configuration names no tagger.

    Raises:
        InputError: as `fetch_tagger` and `load_finder`.
    """
    tagger = fetch_tagger(config, stores, version=version)
    return None if tagger is None else load_finder(tagger, config.pipeline)


def _resolve(settings: PipelineSettings, stores: Stores, model: str, wanted: str) -> tuple[Registry, VersionInfo]:
    """Return the tagger's registry, and what that says of the version behind an alias or a number."""
    registry = _open_registry(settings, stores, model)
    try:
        version = wanted if wanted.isdigit() else registry.aliases().get(wanted)
        info = None if version is None else registry.find(version)
        if info is not None:
            return registry, info
        known = [info.version for info in replace(registry).versions()]  # a fresh reader: what it read once, it keeps
    except PerennialError as error:
        raise InputError(f"{KEY}: the registry of '{model}' does not answer: {error}") from None
    shown = without_password(registry.tracking_uri)
    if not known:
        raise InputError(f"{KEY}: no model '{model}' in {shown}; `cl run` in its project registers it")
    if wanted.isdigit():
        raise InputError(f"{KEY}: no version {wanted} of '{model}' in {shown}; there are: {', '.join(known)}")
    raise InputError(f"{KEY}: no version of '{model}' in {shown} has the alias {wanted}; `cl promote` gives it")


def _open_registry(settings: PipelineSettings, stores: Stores, model: str) -> Registry:
    """Return the registry of a tagger, which is only read."""
    uri = stores.registry.tracking_uri
    if settings.tracking_uri is not None:
        uri = from_environment("pipeline.tracking_uri", settings.tracking_uri)
    if uri.startswith(SQLITE):
        database = (stores.project.root / uri.removeprefix(SQLITE)).resolve()
        if not database.is_file():  # MLflow would make an empty one
            raise InputError(f"{KEY}: no MLflow database {database}; pipeline.tracking_uri names that of '{model}'")
        uri = f"{SQLITE}{database}"
    return _reader(uri, model)


@cache
def _reader(uri: str, model: str) -> Registry:
    """Return the registry of a model, which is opened once: a server asks it every second."""
    return Registry(uri, None, model, reading=True)


def _bring(registry: Registry, info: VersionInfo, folder: Path) -> None:
    """Make a folder hold a version, complete and checked; copies of other versions that nobody reads make room."""
    pinned = info.tags.get(MANIFEST_DIGEST)
    if folder.exists():
        with contextlib.suppress(PerennialError):  # a copy that was changed is fetched again
            mark_used(folder)
            check_manifest(folder, pinned)
            return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".draft-", dir=folder.parent) as scratch:
        fresh = registry.download(info.version, Path(scratch) / "fresh")
        check_manifest(fresh, pinned)
        move_into_place(fresh, folder)
    mark_used(folder)
    for other in folder.parent.iterdir():
        with contextlib.suppress(OSError):  # another process removes it, too
            if other.name.isdigit() and time.time() - other.stat().st_mtime > IN_USE_SECONDS:
                shutil.rmtree(other.rename(folder.parent / f".gone-{other.name}-{os.getpid()}"))


def _check_fit(tagger: TaggerVersion, settings: PipelineSettings) -> None:
    record = _read_record(tagger)
    task = plugins.build(Task, record["task"])
    if task.schema.answer.kind is not ValueKind.TAGS:
        raise InputError(f"{KEY}: {tagger.name} is of task '{task.name}'; a tagger is of task 'token_classification'")
    known = task.scored_classes(record["labels"])
    if not known:
        raise InputError(f"{KEY}: {tagger.name} knows no type of entity, only {', '.join(record['labels'])}")
    named = dict.fromkeys(name for pair in settings.types for name in pair)
    if unknown := [name for name in named if name not in known]:
        raise InputError(
            f"pipeline.types: {tagger.name} knows no entities of type '{unknown[0][:80]}'; it knows: {', '.join(known)}"
        )


def _read_record(tagger: TaggerVersion) -> Mapping[str, Any]:
    """Return what a version says of its task and its labels."""
    try:
        record: dict[str, Any] = json.loads((tagger.folder / "learner.json").read_text(encoding="utf-8"))
        return record
    except (OSError, ValueError) as error:
        raise InputError(f"{KEY}: {tagger.name} cannot be loaded: {error}") from None
