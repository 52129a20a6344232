"""Copy the files of a model's runs and versions to another artifact store and compare them byte for byte."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cl.errors import IntegrityError, StoreError
from cl.process.progress import meter, stage
from cl.stores.files import sha256
from cl.stores.hard_links import remove_unfinished_links, share_among
from cl.stores.manifest import MANIFEST, check_manifest
from cl.stores.mlflow.environment import silence_mlflow, translate_mlflow_errors
from cl.stores.mlflow.version_files import folder_of

PROXY = "mlflow-artifacts:/"


@dataclass(frozen=True)
class ArtifactStore:
    """Where files are stored, and under which address MLflow knows them.

    ``files`` is a folder or a URI. Behind a server it is the value of `--artifacts-destination`: each experiment has a
    folder named by its number in it, and the address is the proxy's.
    """

    files: str
    proxied: bool

    def address(self, experiment: int) -> str:
        """Return the prefix of the addresses of an experiment's files."""
        return f"{PROXY}{experiment}" if self.proxied else _uri(self.files)

    def bytes(self, experiment: int) -> str:
        """Return where an experiment's files can be read and written."""
        return f"{_uri(self.files)}/{experiment}" if self.proxied else _uri(self.files)


@dataclass(frozen=True)
class CopiedFiles:
    """The files copied, or already present in the target, and their size."""

    files: int
    megabytes: float


def rewrite_address(address: str, old: str, new: str) -> str:
    """Return the address of files in the new store; addresses that MLflow resolves by a model's id are unchanged.

    Raises:
        StoreError: the files are not in the same store as the others.
    """
    if address.startswith("models:/"):
        return address
    if address != old and not address.startswith(f"{old}/"):
        raise StoreError(f"{address}: is outside {old}, where the other files are; it cannot be moved with them")
    return new + address.removeprefix(old)


def copy_files(folders: Iterable[str], source: str, target: str) -> CopiedFiles:
    """Copy folders from below one URI to the same names below another, and read each file back.

    Files that are already there unchanged are not written again; other files there are kept. On this machine, files
    that versions have in common lie once in the target.

    Raises:
        IntegrityError: a version does not match its manifest, or a file differs after the copy.
        StoreError: a store is unreachable.
    """
    silence_mlflow()
    files = size = 0
    names = sorted(set(folders))
    with stage("copy files"), meter(len(names), "folders") as copied:
        for folder in names:
            with tempfile.TemporaryDirectory() as scratch:
                local = _download(f"{source}/{folder}", Path(scratch) / "local")
                digests = _digests(local)
                for name in digests:
                    if Path(name).name == MANIFEST:
                        check_manifest((local / name).parent)
                _upload(local, digests, f"{target}/{folder}", Path(scratch))
                files += len(digests)
                size += sum((local / name).stat().st_size for name in digests)
            copied.advance()
    if (root := _local_folder(target)) is not None:
        sealed = [path.parent for name in names for path in sorted((root / name).rglob(MANIFEST))]
        remove_unfinished_links(root)
        share_among(sealed, root)
    return CopiedFiles(files, round(size / 1e6, 1))


def _upload(local: Path, digests: dict[str, str], target: str, scratch: Path) -> None:
    if not digests or digests.items() <= _digests(_download(target, scratch / "before")).items():
        return
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    with translate_mlflow_errors(target):
        get_artifact_repository(target).log_artifacts(str(local))
    uploaded = _digests(_download(target, scratch / "uploaded"))
    for name, digest in digests.items():
        if uploaded.get(name) != digest:
            raise IntegrityError(f"{target}/{name}: differs after the copy; nothing was moved, try again")


def _download(uri: str, folder: Path) -> Path:
    """Return a local folder with the files below a URI, empty if there are none."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    folder.mkdir()
    with translate_mlflow_errors(uri):
        repository = get_artifact_repository(uri)
        return Path(repository.download_artifacts("", str(folder))) if repository.list_artifacts() else folder


def _digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def _local_folder(uri: str) -> Path | None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return folder_of(get_artifact_repository(uri))


def _uri(location: str) -> str:
    return (location if "://" in location else Path(location).as_uri()).rstrip("/")
