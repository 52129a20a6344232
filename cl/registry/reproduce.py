"""Retrain a version from its record in a scratch folder and compare the result with the registered version."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import Field
from safetensors.torch import load_file

from cl.config import Config
from cl.errors import ConfigError, InputError, StoreError
from cl.extras import DISTRIBUTION, FORMER_DISTRIBUTIONS
from cl.models.weight_files import read_tensors, weight_files
from cl.process.progress import stage
from cl.records import Cycle, Record, VersionInfo
from cl.records.history import History
from cl.registry.lineage import read_history, recorded_config
from cl.registry.register import describe_machine, git_commit, package_versions
from cl.stores.data.dvc import DataVersions
from cl.stores.data.experiences import Experiences
from cl.stores.files import sha256
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import Stores
from cl.training.corrected_start import corrected_start
from cl.training.train import train

Pairs = dict[str, list[str | None]]
WITHOUT_EFFECT = ("evidently",)
"""Packages that earlier records list, although no result depends on them."""


class Reproduction(Record):
    """The result of retraining a version."""

    version: str
    identical: bool = Field(description="Whether weights and learning state are bit-identical")
    compared: int = Field(description="Number of compared files")
    apart: dict[str, float | None] = Field(
        default_factory=dict,
        description="Differing file -> largest difference of its numbers; None: not numeric or not comparable",
    )
    packages: Pairs = Field(default_factory=dict, description="Packages whose versions differ: then, now")
    machine: Pairs = Field(default_factory=dict, description="Machine properties that differ: then, now")
    git_commit: list[str | None] = Field(description="Commit of the code: then, now")
    remedies: list[str] = Field(default_factory=list)


@dataclass(frozen=True)
class Recipe:
    """The complete inputs of a version's training."""

    history: History
    cycle: Cycle
    parent: VersionInfo | None
    past: list[str]
    corrections: int
    """Number of corrections that the parent was trained after."""


def reproduce(config: Config, stores: Stores, version: str) -> Reproduction:
    """Retrain a version from its parent, data, configuration and seed, and compare.

    The project is not modified: data and parent are downloaded into a temporary folder.

    Raises:
        InputError: there is no such version, or it was not trained.
        StoreError: its data, its parent or its own files are no longer available.
    """
    recipe = _read_recipe(stores, version)
    recorded = _read_config(config, recipe.history)
    stores.project.work.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="reproduce-", dir=stores.project.work) as folder:
        scratch = ProjectFolder(Path(folder))
        registered = stores.registry.download(version, scratch.root / "registered")
        parent = None
        if recipe.parent is not None:
            parent = stores.registry.download(recipe.parent.version, scratch.root / "parent")
        _restore_data(stores, scratch, recipe.history)
        assert recipe.cycle.training is not None
        with stage("train"):
            retrained = train(
                recorded.at_rung(recipe.cycle.rung),
                champion=_start(recorded, recipe, parent, scratch),
                new=recipe.cycle.training.experiences,
                past=recipe.past,
                rows_of=Experiences(scratch).rows_of,
                folder=scratch.root / "again",
            )
        with stage("compare"):
            apart, compared = _compare(registered, Path(retrained.challenger))
    return _reproduction(stores, version, recipe.history, apart, compared)


def _read_recipe(stores: Stores, version: str) -> Recipe:
    registry = stores.registry
    infos = {info.version: info for info in registry.versions()}
    if version not in infos:
        raise InputError(f"no version {version} of '{registry.model}'; there are: {', '.join(infos) or 'none'}")
    history = read_history(registry, infos[version])
    if history is None:
        raise StoreError(f"version {version} of '{registry.model}' has no record; its run was removed")
    if history.form is not None:
        raise InputError(
            f"version {version} was derived ({history.form}) from version {history.parent} on inputs that are not "
            f"versioned; run cl reproduce {history.parent}, then cl distil {history.parent}"
        )
    run = registry.runs.past.run_of(history.cycle)
    cycle = registry.runs.cycle(run) if run else None
    if cycle is None or cycle.training is None:
        raise InputError(
            f"version {version} was created by `cl forget` or `cl labels` from version {history.parent} without "
            "training: nothing to reproduce"
        )
    for needed in filter(None, (version, history.parent)):
        if needed not in infos or (infos[needed].withdrawn and not registry.files.bytes_of(infos[needed])):
            raise StoreError(f"version {needed} no longer has files, so version {version} cannot be reproduced")
    parent = infos[history.parent] if history.parent else None
    parent_history = read_history(registry, parent) if parent else None
    before = parent_history or History()
    return Recipe(history, cycle, parent, before.learnt, before.corrections)


def _read_config(config: Config, history: History) -> Config:
    try:
        return recorded_config(config, history)
    except ConfigError as error:
        raise StoreError(f"{error}; this code cannot read it: check out commit {history.git_commit}") from None


def _restore_data(stores: Stores, scratch: ProjectFolder, history: History) -> None:
    """Restore the version's data in the scratch folder."""
    try:
        DataVersions(scratch, stores.data.remote).restore(history.data_dvc)
    except StoreError as error:
        raise StoreError(
            f"data version {history.data_version} is not in {stores.data.remote}: {error}; `dvc push` it from a "
            "machine that has it; rows deleted with `cl forget` cannot be restored"
        ) from None


def _start(config: Config, recipe: Recipe, parent: Path | None, scratch: ProjectFolder) -> Path | None:
    """Return the folder that the version was trained from: its parent without rows that had been corrected since."""
    if parent is None:
        return None
    start = corrected_start(
        config,
        parent,
        learnt=recipe.past,
        since=recipe.corrections,
        project=scratch,
        folder=scratch.root / "corrected",
    )
    return Path(start.folder)


def _compare(registered: Path, retrained: Path) -> tuple[dict[str, float | None], int]:
    """Return the differences of the learner's files, and how many files were compared."""
    names = {
        str(path.relative_to(folder))
        for folder in (registered, retrained)
        for path in [folder / "head.safetensors", folder / "learner.json", *folder.glob("strategies/*/*")]
    }
    apart = _compare_encoders(registered / "encoder", retrained / "encoder")
    compared = len(weight_files(registered / "encoder"))
    for name in sorted(names):
        before, after = registered / name, retrained / name
        if not (before.exists() and after.exists()):
            apart[name] = None
        elif sha256(before) != sha256(after):
            distance = _distance(load_file(before), load_file(after)) if name.endswith(".safetensors") else None
            apart |= {} if distance == 0 else {name: distance}
    return apart, compared + len(names)


def _compare_encoders(registered: Path, retrained: Path) -> dict[str, float | None]:
    """Return the differences of the encoders' files, or of all tensors where these lie in other files than they did."""
    before, after = weight_files(registered), weight_files(retrained)
    if [path.name for path in before] != [path.name for path in after]:
        distance = _distance(read_tensors(registered), read_tensors(retrained))
        return {} if distance == 0 else {registered.name: distance}
    apart: dict[str, float | None] = {}
    for old, new in zip(before, after, strict=True):
        if sha256(old) != sha256(new) and (distance := _distance(load_file(old), load_file(new))) != 0:
            apart[f"{registered.name}/{old.name}"] = distance
    return apart


def _distance(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float | None:
    """Return the largest difference between the tensors of two files; None if their shapes differ."""
    if {k: v.shape for k, v in first.items()} != {k: v.shape for k, v in second.items()}:
        return None
    return max((float((v.double() - second[k].double()).abs().max()) for k, v in first.items() if v.numel()), default=0)


def _reproduction(
    stores: Stores, version: str, history: History, apart: dict[str, float | None], compared: int
) -> Reproduction:
    packages = _differences(_comparable(history.packages), package_versions())
    machine = _differences(history.machine, describe_machine())
    commits = [history.git_commit, git_commit(stores.project.root)]
    remedies = []
    if apart and packages:
        wanted = " ".join(f"{name}=={then}" for name, (then, _) in packages.items() if then and name != "python")
        remedies.append(f"packages differ: in a fresh environment, pip install {wanted}")
    if apart and machine:
        remedies.append("the machine differs: bit-identical results are only guaranteed on the same kind of machine")
    if apart and commits[0] != commits[1]:
        remedies.append(f"the code differs: git checkout {commits[0]}")
    if apart and not remedies:
        remedies.append("packages, machine and code are unchanged: the training itself is not deterministic")
    return Reproduction(
        version=version,
        identical=not apart,
        compared=compared,
        apart=apart,
        packages=packages,
        machine=machine,
        git_commit=commits,
        remedies=remedies,
    )


def _comparable(packages: dict[str, str]) -> dict[str, str]:
    """Return a record's packages as records list them today: ours under its present name, no others than matter."""
    named = {DISTRIBUTION if name in FORMER_DISTRIBUTIONS else name: version for name, version in packages.items()}
    return {name: version for name, version in named.items() if name not in WITHOUT_EFFECT}


def _differences(then: dict[str, str], now: dict[str, str]) -> Pairs:
    return {key: [then.get(key), now.get(key)] for key in sorted({*then, *now}) if then.get(key) != now.get(key)}
