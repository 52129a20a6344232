"""A version is trained again from its record, elsewhere, and compared with what was registered."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from cl.config import Config
from cl.errors import ConfigError, InputError, StoreError
from cl.records import Cycle, Record, VersionInfo
from cl.registry.lineage import History, read_history, recorded_config
from cl.registry.register import describe_machine, git_commit, package_versions
from cl.stores.data.dvc import DataVersions
from cl.stores.data.experiences import Experiences
from cl.stores.files import sha256
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import Stores
from cl.training.train import train

Pairs = dict[str, list[str | None]]


class Reproduction(Record):
    """What came of training a version again."""

    version: str
    identical: bool = Field(description="Weights and all that learning goes on from, to the bit")
    compared: int = Field(description="Files that were compared")
    apart: dict[str, float | None] = Field(
        default_factory=dict, description="File that differs -> largest difference of its numbers; None: no numbers"
    )
    packages: Pairs = Field(default_factory=dict, description="Those whose versions differ: then, now")
    machine: Pairs = Field(default_factory=dict, description="What differs of the machine: then, now")
    git_commit: list[str | None] = Field(description="Of the code: then, now")
    remedies: list[str] = Field(default_factory=list)


@dataclass(frozen=True)
class Recipe:
    """All that a version's weights follow from."""

    history: History
    cycle: Cycle
    parent: VersionInfo | None
    past: list[str]


def reproduce(config: Config, stores: Stores, version: str) -> Reproduction:
    """Train a version again, from its parent, its data, configuration and seed, and compare.

    Nothing of the project is touched: data and parent are brought into a folder that is removed in the end.

    Raises:
        InputError: there is no such version, or nothing was trained for it.
        StoreError: its data, its parent or itself cannot be had any more.
    """
    recipe = _recipe(stores, version)
    recorded = _recorded(config, recipe.history)
    stores.project.work.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="reproduce-", dir=stores.project.work) as folder:
        scratch = ProjectFolder(Path(folder))
        theirs = stores.registry.download(version, scratch.root / "registered")
        parent = None
        if recipe.parent is not None:
            parent = stores.registry.download(recipe.parent.version, scratch.root / "parent")
        _bring(stores, scratch, recipe.history)
        assert recipe.cycle.training is not None
        made = train(
            recorded.at_rung(recipe.cycle.rung),
            champion=parent,
            new=recipe.cycle.training.experiences,
            past=recipe.past,
            rows_of=Experiences(scratch).rows_of,
            folder=scratch.root / "again",
        )
        apart, compared = _compared(theirs, Path(made.challenger))
    return _told(stores, version, recipe.history, apart, compared)


def _recipe(stores: Stores, version: str) -> Recipe:
    registry = stores.registry
    infos = {one.version: one for one in registry.versions()}
    if version not in infos:
        raise InputError(f"no version {version} of '{registry.model}'; there are: {', '.join(infos) or 'none'}")
    history = read_history(registry, infos[version])
    if history is None:
        raise StoreError(f"version {version} of '{registry.model}' has no record; its run was removed")
    if history.form is not None:
        raise InputError(
            f"version {version} was derived ({history.form}) from version {history.parent}, on questions that are not "
            f"versioned: cl reproduce {history.parent}, then cl distil {history.parent}"
        )
    cycle = next((one for one in registry.cycles() if one.id == history.cycle), None)
    if cycle is None or cycle.training is None:
        raise InputError(
            f"version {version} was made by `cl forget` from version {history.parent}: nothing was trained"
        )
    for one in filter(None, (version, history.parent)):
        if one not in infos or (infos[one].withdrawn and not registry.bytes_of(infos[one])):
            raise StoreError(f"version {one} has no files any more, and version {version} cannot be compared without")
    parent = infos[history.parent] if history.parent else None
    known = read_history(registry, parent) if parent else None
    return Recipe(history, cycle, parent, known.learnt if known else [])


def _recorded(config: Config, history: History) -> Config:
    try:
        return recorded_config(config, history)
    except ConfigError as error:
        raise StoreError(f"{error}; this code cannot read it: check out commit {history.git_commit}") from None


def _bring(stores: Stores, scratch: ProjectFolder, history: History) -> None:
    """Check the version's data out into another folder."""
    try:
        DataVersions(scratch, stores.data.remote).restore(history.data_dvc)
    except StoreError as error:
        raise StoreError(
            f"data version {history.data_version} cannot be had from {stores.data.remote}: {error}; `dvc push` where "
            "it still is; rows that were forgotten everywhere have no way back"
        ) from None


def _compared(theirs: Path, ours: Path) -> tuple[dict[str, float | None], int]:
    """Return how far files of the learner are apart that differ, and how many were compared."""
    names = {
        str(path.relative_to(folder))
        for folder in (theirs, ours)
        for path in [folder / "head.safetensors", folder / "learner.json", *folder.glob("strategies/*/*")]
    } | {str(path.relative_to(theirs)) for path in theirs.glob("encoder/*.safetensors")}
    apart: dict[str, float | None] = {}
    for name in sorted(names):
        one, other = theirs / name, ours / name
        if not (one.exists() and other.exists()):
            apart[name] = None
        elif sha256(one) != sha256(other):
            distance = _distance(one, other) if name.endswith(".safetensors") else None
            apart |= {} if distance == 0 else {name: distance}
    return apart, len(names)


def _distance(one: Path, other: Path) -> float | None:
    """Return the largest difference of two files' numbers; None where their shapes differ."""
    from safetensors.torch import load_file

    first, second = load_file(one), load_file(other)
    if {k: v.shape for k, v in first.items()} != {k: v.shape for k, v in second.items()}:
        return None
    return max((float((v.double() - second[k].double()).abs().max()) for k, v in first.items() if v.numel()), default=0)


def _told(
    stores: Stores, version: str, history: History, apart: dict[str, float | None], compared: int
) -> Reproduction:
    packages = _pairs(history.packages, package_versions())
    machine = _pairs(history.machine, describe_machine())
    commits = [history.git_commit, git_commit(stores.project.root)]
    remedies = []
    if apart and packages:
        wanted = " ".join(f"{name}=={then}" for name, (then, _) in packages.items() if then and name != "python")
        remedies.append(f"packages differ: in a fresh environment, pip install {wanted}")
    if apart and machine:
        remedies.append("the machine differs: bits are promised on the same kind of machine only")
    if apart and commits[0] != commits[1]:
        remedies.append(f"the code differs: git checkout {commits[0]}")
    if apart and not remedies:
        remedies.append("packages, machine and code are those of then: the difference is in this code's own randomness")
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


def _pairs(then: dict[str, str], now: dict[str, str]) -> Pairs:
    return {key: [then.get(key), now.get(key)] for key in sorted({*then, *now}) if then.get(key) != now.get(key)}
