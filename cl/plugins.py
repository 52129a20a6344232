"""Find plug-ins by name: the files of a package, and what other installed packages offer through entry points.

``cl/training/strategies/ewc.py`` holds one class that derives from `Strategy`; a configuration that says
``{name: ewc, strength: 100}`` gets that class with that field, imported on first use. A package outside declares::

    [project.entry-points."perennial.gates"]
    polite = "my_package.gates:Polite"

and `Polite`, which derives from `cl.Gate`, is the gate ``polite``. Files whose names begin with ``_`` are helpers.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, TypeVar, overload

from pydantic import BaseModel, ConfigDict

from cl.errors import PluginError, UnknownPluginError


class Capability(StrEnum):
    """A property of a task's model and answers that plug-ins may need; its value completes "needs ..."."""

    LABELS = "rows that belong to classes"
    """The task names a class of each row, and the head has an output for each label."""
    PROBABILITIES = "probabilities over labels that exclude each other"
    """The answer is the most probable of the labels, whose probabilities add up to one."""
    EMBEDDINGS = "embeddings of rows"
    """The mean of the encoder's states stands for a row."""
    LINEAR_HEAD = "a linear head over frozen features"
    """The logits are linear in features of the encoder, and can be solved for."""
    ENCODER = "an encoder below the head"
    """The states of its layers can be read; it can be pruned, distilled and exported."""
    TOKENS = "an answer for each word"
    """Each row has several predictions."""
    WRITING = "a language model that writes its answers"
    """Each token of an answer has a probability; versions refer to the pretrained weights."""


class Plugin(BaseModel):
    """Base of every plug-in: its fields are its configuration, checked and immutable.

    ``requires`` is what it needs of the task; a configuration whose task does not provide it is refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    requires: ClassVar[frozenset[Capability]] = frozenset()
    entry_point: ClassVar[str | None] = None
    """Its name, where another package offers it; `find` sets it."""

    @property
    def name(self) -> str:
        """The name that the configuration uses: that of its file, or of its entry point."""
        return self.entry_point or type(self).__module__.rsplit(".", 1)[-1]


P = TypeVar("P", bound=Plugin)
LONGEST_NAME = 60
"""Characters of an unknown name that a message shows."""


@dataclass(frozen=True)
class Kind:
    """A kind of plug-in: its word, and the package that holds the built-in ones and in ``_base.py`` their base."""

    word: str
    package: str
    base: str


KINDS: Mapping[str, Kind] = {
    "tasks": Kind("task", "cl.tasks", "Task"),
    "strategies": Kind("strategy", "cl.training.strategies", "Strategy"),
    "buffers": Kind("buffer", "cl.training.buffers", "Buffer"),
    "tunings": Kind("tuning", "cl.models.tunings", "Tuning"),
    "detectors": Kind("detector", "cl.drift.detectors", "Detector"),
    "gates": Kind("gate", "cl.gating.gates", "Gate"),
    "sources": Kind("source", "cl.ingestion.sources", "Source"),
}
"""By the name that the configuration's errors and the entry points (``perennial.NAME``) use."""


@dataclass(frozen=True)
class Origin:
    """Where a plug-in comes from."""

    kind: str
    name: str
    distribution: str
    """The package that offers it and its version; ``built in`` for our own."""


def names(kind: str) -> list[str]:
    """Return the names of all plug-ins of a kind such as ``strategies``, sorted."""
    return sorted({*_built_in(kind), *_outside(kind)})


def origins(kind: str) -> list[Origin]:
    """Return where each plug-in of a kind comes from, in the order of their names.

    Raises:
        PluginError: two packages offer one name.
    """
    outside = {name: _only(kind, name) for name in _outside(kind)}
    listed = [Origin(kind, name, "built in") for name in _built_in(kind)]
    listed += [Origin(kind, name, _distribution(point)) for name, point in outside.items()]
    return sorted(listed, key=lambda origin: origin.name)


@overload
def find(kind: str, name: str) -> type[Any]: ...
@overload
def find(kind: type[P], name: str) -> type[P]: ...
def find(kind: str | type[Plugin], name: str) -> type[Any]:
    """Return the class of a plug-in.

    Args:
        kind: the name of a kind, or its base class.
        name: as the configuration says it.

    Raises:
        UnknownPluginError: there is none of that name; the message lists the names there are.
        PluginError: another package offers it, and it cannot be used.
    """
    kind = kind if isinstance(kind, str) else _kind_of(kind)
    if name in _built_in(kind):
        return _own_class(f"{KINDS[kind].package}.{name}")
    if name in _outside(kind):
        return _loaded(kind, name)
    known = names(kind)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    raise UnknownPluginError(f"no {KINDS[kind].word} '{name[:LONGEST_NAME]}'; {hint}there are: {', '.join(known)}")


@overload
def build(kind: str, spec: str | dict[str, Any]) -> Any: ...
@overload
def build(kind: type[P], spec: str | dict[str, Any]) -> P: ...
def build(kind: str | type[Plugin], spec: str | dict[str, Any]) -> Any:
    """Return the plug-in that a configuration entry describes, its fields validated.

    Args:
        kind: the name of a kind, or its base class.
        spec: a name, or a mapping with ``name`` and the plug-in's fields.

    Raises:
        UnknownPluginError: there is no plug-in of that name.
        PluginError: another package offers it, and it cannot be used.
        pydantic.ValidationError: a field is unknown or has a wrong value.
    """
    fields = {"name": spec} if isinstance(spec, str) else dict(spec)
    return find(kind, str(fields.pop("name", "")))(**fields)


def _kind_of(base: type[Plugin]) -> str:
    return next(kind for kind, about in KINDS.items() if base.__module__.rpartition(".")[0] == about.package)


@functools.cache
def _built_in(kind: str) -> list[str]:
    package = importlib.import_module(KINDS[kind].package)
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_"))


def _own_class(module_name: str) -> type[Plugin]:
    module = importlib.import_module(module_name)
    own = [
        member
        for member in vars(module).values()
        if inspect.isclass(member) and issubclass(member, Plugin) and member.__module__ == module_name
    ]
    assert len(own) == 1, f"{module_name} must hold exactly one plug-in class, holds {len(own)}"
    return own[0]


@functools.cache
def _outside(kind: str) -> Mapping[str, tuple[EntryPoint, ...]]:
    """Return what other packages offer, by name; names of our own are ours."""
    offered: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=f"perennial.{kind}"):
        if point.name not in _built_in(kind):
            offered[point.name] = (*offered.get(point.name, ()), point)
    return offered


def _only(kind: str, name: str) -> EntryPoint:
    points = {point.value: point for point in _outside(kind)[name]}
    if len(points) > 1:
        offered = " and ".join(sorted(_distribution(point) for point in points.values()))
        raise PluginError(f"{KINDS[kind].word} '{name}': {offered} both offer it; uninstall one of them")
    return next(iter(points.values()))


def _loaded(kind: str, name: str) -> type[Plugin]:
    point = _only(kind, name)
    about = KINDS[kind]
    where = f"{about.word} '{name}' of {_distribution(point)} ({point.value})"
    try:
        plugin = point.load()
    except Exception as error:
        raise PluginError(f"{where} cannot be imported: {type(error).__name__}: {error}"[:500]) from error
    base: type[Plugin] = getattr(importlib.import_module(about.package), about.base)
    if not (isinstance(plugin, type) and issubclass(plugin, base)):
        raise PluginError(f"{where} must be a class that derives from cl.{about.base}")
    plugin.entry_point = name
    return plugin


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "a package without metadata"
