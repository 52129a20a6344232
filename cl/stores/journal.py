"""The journal of one cycle: one record per finished step, so that a killed cycle resumes where it stopped.

Records name files below the project's folder. They are stored relative to it: a project that was copied or moved goes
on with its own files.
"""

from __future__ import annotations

import inspect
import json
import shutil
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ParamSpec, Protocol, TypeVar

from cl.process.progress import stage
from cl.records import Record
from cl.stores.files import write_text

P = ParamSpec("P")
R = TypeVar("R", bound=Record)
INSIDE = '"\\u0000project/'
"""How a path inside the project begins in a stored record: no other text has a null character in it."""


TITLES = {
    "corrected_start": "prepare the start",
    "detect_drift": "detect drift",
    "estimate_gain": "estimate the gain",
    "gate": "gates",
    "quantise": "quantise to int8",
    "score_baselines": "score the baselines",
    "smoke_test": "smoke test",
    "to_onnx": "convert to ONNX",
    "train_control_arm": "train the control arm",
}
"""What a stage is called while it runs; the others are called as their function is."""


class Executor(Protocol):
    """Runs the steps of a cycle, in this process (`inline`) or as Prefect tasks."""

    def __call__(self, step: Callable[P, R], /) -> Callable[P, R]:
        """Return a callable that takes the step's arguments and returns its record."""
        ...


@dataclass(frozen=True)
class Journal:
    """A folder with one JSON file per finished step, next to the step's own files, below the folder of a project."""

    folder: Path
    project: Path

    def part(self, name: str) -> Journal:
        """Return the journal of one part of the cycle, in a subfolder."""
        return Journal(self.folder / name, self.project)

    def once(self, step: Callable[P, R], run: Executor) -> Callable[P, R]:
        """Return the step made repeatable: if it has finished before, its record is read instead of running it.

        While it runs, it is reported as a stage.
        """

        def reported(*args: P.args, **kwargs: P.kwargs) -> R:
            with stage(TITLES.get(step.__name__, step.__name__)):
                return run(step)(*args, **kwargs)

        return self.remember(step, reported)

    def remember(self, step: Callable[P, R], run: Callable[P, R]) -> Callable[P, R]:
        """Return a step made of others, as `once` does: the others are the stages."""
        kind = _return_type(step)

        def read_or_run(*args: P.args, **kwargs: P.kwargs) -> R:
            known = self.read(step.__name__, kind)
            if known is not None:
                return typing.cast(R, known)
            self.folder.mkdir(parents=True, exist_ok=True)
            record = run(*args, **kwargs)
            self.write(step.__name__, record)
            return record

        return read_or_run

    def read(self, name: str, kind: type[R]) -> R | None:
        """Return the record of a finished step, or None."""
        file = self.folder / f"{name}.json"
        if not file.exists():
            return None
        text = file.read_text(encoding="utf-8").replace(INSIDE, f'"{self._prefix}')
        return kind.model_validate_json(text)

    def write(self, name: str, record: Record) -> None:
        """Store a record that belongs to no step."""
        text = record.model_dump_json(indent=1).replace(f'"{self._prefix}', INSIDE)
        write_text(self.folder / f"{name}.json", text)

    @property
    def _prefix(self) -> str:
        """The project's folder as the beginning of a JSON string."""
        return json.dumps(f"{self.project}/", ensure_ascii=False)[1:-1]

    def close(self) -> None:
        """Delete the journal: the cycle is in the registry now."""
        shutil.rmtree(self.folder, ignore_errors=True)


def inline(step: Callable[P, R]) -> Callable[P, R]:
    """Return a step unchanged, to run in this process."""
    return step


def _return_type(step: Callable[..., Any]) -> type[Record]:
    """Return what a step returns; its other annotations may name modules that are only imported to check types."""
    function = inspect.unwrap(step)
    annotated = SimpleNamespace(__annotations__={"return": function.__annotations__["return"]})
    result: type[Record] = typing.get_type_hints(annotated, globalns=getattr(function, "__globals__", {}))["return"]
    return result
