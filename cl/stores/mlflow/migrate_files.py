"""The files of a model's runs and versions, brought from one place to another and compared byte for byte."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cl.errors import IntegrityError, StoreError
from cl.stores.files import sha256
from cl.stores.manifest import MANIFEST, check_manifest
from cl.stores.mlflow.environment import silence_mlflow
from cl.stores.mlflow.runs import translate_mlflow_errors

PROXY = "mlflow-artifacts:/"


@dataclass(frozen=True)
class ArtifactPlace:
    """Where files lie, and under which address MLflow knows them.

    ``files`` is a folder or a URI; behind a server it is what `--artifacts-destination` names, each experiment has a
    folder of its number in it, and the address is the proxy's.
    """

    files: str
    proxied: bool

    def address(self, experiment: int) -> str:
        """Return what the addresses of an experiment's files begin with."""
        return f"{PROXY}{experiment}" if self.proxied else _uri(self.files)

    def bytes(self, experiment: int) -> str:
        """Return where an experiment's files can be read and written."""
        return f"{_uri(self.files)}/{experiment}" if self.proxied else _uri(self.files)


@dataclass(frozen=True)
class CopiedFiles:
    """What was brought, or found there as it is here."""

    files: int
    megabytes: float


def rewrite_address(address: str, old: str, new: str) -> str:
    """Return an address of files in the new place; what MLflow finds by a model's id stays.

    Raises:
        StoreError: the files do not lie where the others do.
    """
    if address.startswith("models:/"):
        return address
    if address != old and not address.startswith(f"{old}/"):
        raise StoreError(f"{address}: lies outside {old}, where the others are; it cannot be moved along")
    return new + address.removeprefix(old)


def copy_files(folders: Iterable[str], source: str, target: str) -> CopiedFiles:
    """Bring folders from below one URI to the same names below another, and read each file back.

    Files that are there already, as they are here, are not written again; others beside them stay.

    Raises:
        IntegrityError: a version is not what its manifest says, or a file did not arrive as it left.
        StoreError: a place is out of reach.
    """
    silence_mlflow()
    files = size = 0
    for folder in sorted(set(folders)):
        with tempfile.TemporaryDirectory() as scratch:
            here = _brought(f"{source}/{folder}", Path(scratch) / "here")
            digests = _digests(here)
            for name in digests:
                if Path(name).name == MANIFEST:
                    check_manifest((here / name).parent)
            _arrive(here, digests, f"{target}/{folder}", Path(scratch))
            files += len(digests)
            size += sum((here / name).stat().st_size for name in digests)
    return CopiedFiles(files, round(size / 1e6, 1))


def _arrive(here: Path, digests: dict[str, str], target: str, scratch: Path) -> None:
    if not digests or digests.items() <= _digests(_brought(target, scratch / "before")).items():
        return
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    with translate_mlflow_errors(target):
        get_artifact_repository(target).log_artifacts(str(here))
    there = _digests(_brought(target, scratch / "there"))
    for name, digest in digests.items():
        if there.get(name) != digest:
            raise IntegrityError(f"{target}/{name}: did not arrive as it left; nothing was moved, try again")


def _brought(uri: str, folder: Path) -> Path:
    """Return a local folder with the files below a URI; an empty one where there are none."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    folder.mkdir()
    with translate_mlflow_errors(uri):
        repository = get_artifact_repository(uri)
        return Path(repository.download_artifacts("", str(folder))) if repository.list_artifacts() else folder


def _digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def _uri(place: str) -> str:
    return (place if "://" in place else Path(place).as_uri()).rstrip("/")
