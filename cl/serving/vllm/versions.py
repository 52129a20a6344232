"""Versions on a vLLM server: each is an adapter NAME@VERSION, which is loaded, checked, and unloaded in the end.

An adapter never changes under its name, so that no answer changes its version.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading
from collections import Counter
from pathlib import Path

from cl.config.serving import EngineSettings
from cl.errors import PerennialError, UnservableError
from cl.models.language_files import TRAINED, outline_trained
from cl.models.probes import Probe, load_probes
from cl.registry.export_language import write_adapter
from cl.serving.served_model import ServedModel
from cl.serving.vllm.client import UnreachableError, VllmClient, VllmError
from cl.stores.files import move_into_place
from cl.stores.version_folder import former_labels

log = logging.getLogger(__name__)
DEFAULT_FOLDER = "adapters"
TOLERANCE = 0.1
"""By how many nats a token of a stored answer may differ on average: weights and sums have fewer digits on a GPU."""


class VllmVersions:
    """Loads, checks and unloads the versions of a project on a vLLM server.

    Args:
        client: of the server.
        settings: where adapters are written.
        project: the project's name.
        root: the project's folder.
    """

    def __init__(self, client: VllmClient, settings: EngineSettings, *, project: str, root: Path) -> None:
        self._client, self._project = client, project
        self._folder = (root / (settings.adapters or f".cl/{DEFAULT_FOLDER}")).resolve()
        self._there = settings.adapters_there
        self._paths: dict[str, Path] = {}
        self._probes: dict[str, list[Probe]] = {}
        self._bases: dict[str, str] = {}
        self._answering, self._leaving = Counter[str](), set[str]()
        self._loading = threading.Lock()
        """Held while the server loads or unloads, which may take long."""
        self._counting = threading.Lock()

    def name(self, version: str) -> str:
        """Return the name of a version's adapter."""
        return f"{self._project}@{version}"

    def load(self, version: str, folder: Path) -> ServedModel:
        """Load a verified version on the server, and check that the server answers as this version does.

        Args:
            version: its number.
            folder: its files.

        Raises:
            UnreachableError: the server does not answer.
            UnservableError: the server cannot load it, or answers as another version or as the base.
        """
        self._client.adapters()  # nothing else is worth its time while the server does not answer
        learner, trained = outline_trained(folder)
        if learner.has_decoder:
            raise UnservableError(
                f"version {version} has an encoder and a decoder, which vLLM does not serve: set serve.engine to local"
            )
        if learner.base is None or getattr(learner.encoder, "peft_config", None) is None:
            raise UnservableError(
                f"version {version} has no adapter that vLLM could load, as model.tuning '{learner.tuning.name}' makes "
                "none: set serve.engine to local"
            )
        if learner.base.layers is not None:
            raise UnservableError(
                f"version {version} uses {len(learner.base.layers)} layers of its base, and vLLM would run all: set "
                "serve.engine to local"
            )
        learner.encoder.requires_grad_(False)
        path = self._folder / f"{self.name(version)}-{_digest(folder)[:12]}"
        if not path.exists():
            draft = path.with_name(f".{path.name}.draft")
            shutil.rmtree(draft, ignore_errors=True)
            draft.parent.mkdir(parents=True, exist_ok=True)
            write_adapter(learner, learner.base, draft, trained)
            move_into_place(draft, path)
        with self._counting:
            self._leaving.discard(version)
        with self._loading:
            self._paths[version], self._probes[version] = path, load_probes(folder)
            self._bases[version] = learner.base.name
            try:
                self._check_length(learner.settings.max_length)
                self._drop_leftovers()
                self._bring(version)
                self._check(version)
            except PerennialError:
                self._forget(version)
                raise
        return ServedModel(version, learner, None, former_labels(folder))

    def bring_back(self, version: str) -> None:
        """Load a version again that the server has lost, as after a restart.

        Raises:
            UnreachableError: the server does not answer.
            UnservableError: as for `load`.
        """
        with self._loading:
            if version in self._paths and self._bring(version):
                self._check(version)

    def begin(self, version: str) -> None:
        """Note that a version begins an answer."""
        with self._counting:
            self._answering[version] += 1

    def end(self, version: str) -> bool:
        """Note that a version has ended an answer; return whether it is to be unloaded now, by `unload`."""
        with self._counting:
            self._answering[version] -= 1
            return self._is_idle(version)

    def release(self, version: str) -> None:
        """Unload a version as soon as it writes no answer."""
        with self._counting:
            self._leaving.add(version)
            idle = self._is_idle(version)
        if idle:
            self.unload(version)

    def unload(self, version: str) -> None:
        """Unload a version that was released, unless it has been loaded again meanwhile."""
        with self._loading:
            with self._counting:
                if not self._is_idle(version):
                    return
                self._leaving.discard(version)
                del self._answering[version]
            self._forget(version)

    def _forget(self, version: str) -> None:
        """Unload a version if the server has it, and remove its adapter."""
        path, name = self._paths.pop(version), self.name(version)
        del self._probes[version], self._bases[version]
        try:
            if name in self._client.adapters():
                self._client.unload(name)
                log.info("version %s is unloaded from the vLLM server", version)
        except UnreachableError as error:  # a later load drops what is left
            log.debug("version %s was not unloaded: %s", version, error)
        except PerennialError as error:
            log.warning("version %s could not be unloaded from the vLLM server: %s", version, error)
        shutil.rmtree(path, ignore_errors=True)

    def _is_idle(self, version: str) -> bool:
        return version in self._leaving and self._answering[version] <= 0

    def _bring(self, version: str) -> bool:
        """Load a version unless the server has it, and return whether it was loaded."""
        name, path = self.name(version), self._path_there(version)
        loaded = self._client.adapters()
        try:
            if loaded.get(name, path) != path:  # of a registry that was there before
                self._client.unload(name)
            elif name in loaded:
                return False
            self._client.load(name, path)
        except VllmError as error:
            raise UnservableError(f"version {version} cannot be loaded by vLLM: {error}") from None
        return True

    def _drop_leftovers(self) -> None:
        """Unload what an earlier process of this project has left on the server, and remove its files."""
        ours = {self.name(version) for version in self._paths}
        for name in self._client.adapters():
            if name.startswith(self.name("")) and name not in ours:
                self._client.unload(name)
        for path in self._folder.iterdir():
            if path.name.startswith(self.name("")) and path not in self._paths.values():
                shutil.rmtree(path, ignore_errors=True)

    def _check_length(self, needed: int) -> None:
        longest = self._client.longest()
        if longest is not None and longest <= needed:
            raise UnservableError(
                f"the vLLM server reads and writes {longest} tokens, and a prompt alone may have {needed} "
                f"(model.max_length): start it with --max-model-len above {needed}"
            )

    def _path_there(self, version: str) -> str:
        path = self._paths[version]
        return str(path) if self._there is None else f"{self._there.rstrip('/')}/{path.name}"

    def _check(self, version: str) -> None:
        """Compare what the server writes with what the version wrote when it was registered."""
        try:
            self._compare(version)
        except VllmError as error:
            raise UnservableError(f"version {version} does not answer on vLLM: {error}") from None

    def _compare(self, version: str) -> None:
        for probe in self._probes[version]:
            logs = self._client.score(self.name(version), probe.prompt, probe.tokens)
            if (distance := probe.distance(logs)) > TOLERANCE:
                base = probe.distance_of_base(logs) < distance
                raise UnservableError(
                    f"version {version}: the vLLM server answers as {'its base alone' if base else 'another model'} "
                    f"would: the tokens of a stored answer are {distance:.2f} nats from where the version has them, at "
                    f"most {TOLERANCE:g} are allowed; does it run the base '{self._bases[version]}'?"
                )


def _digest(folder: Path) -> str:
    with (folder / TRAINED).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
