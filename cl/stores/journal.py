"""The journal of one cycle: one record per finished step, so that a killed cycle resumes where it stopped."""

from __future__ import annotations

import shutil
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from cl.records import Record
from cl.stores.files import write_text

P = ParamSpec("P")
R = TypeVar("R", bound=Record)


class Executor(Protocol):
    """Runs the steps of a cycle, in this process (`inline`) or as Prefect tasks."""

    def __call__(self, step: Callable[P, R], /) -> Callable[P, R]:
        """Return a callable that takes the step's arguments and returns its record."""
        ...


@dataclass(frozen=True)
class Journal:
    """A folder with one JSON file per finished step, next to the step's own files."""

    folder: Path

    def part(self, name: str) -> Journal:
        """Return the journal of one part of the cycle, in a subfolder."""
        return Journal(self.folder / name)

    def once(self, step: Callable[P, R], run: Executor) -> Callable[P, R]:
        """Return the step made repeatable: if it has finished before, its record is read instead of running it."""
        kind: type[Record] = typing.get_type_hints(step)["return"]
        file = self.folder / f"{step.__name__}.json"

        def read_or_run(*args: P.args, **kwargs: P.kwargs) -> R:
            if file.exists():
                return typing.cast(R, kind.model_validate_json(file.read_text(encoding="utf-8")))
            self.folder.mkdir(parents=True, exist_ok=True)
            record = run(step)(*args, **kwargs)
            write_text(file, record.model_dump_json(indent=1))
            return record

        return read_or_run

    def read(self, name: str, kind: type[R]) -> R | None:
        """Return the record of a finished step, or None."""
        file = self.folder / f"{name}.json"
        return kind.model_validate_json(file.read_text(encoding="utf-8")) if file.exists() else None

    def write(self, name: str, record: Record) -> None:
        """Store a record that belongs to no step."""
        write_text(self.folder / f"{name}.json", record.model_dump_json(indent=1))

    def close(self) -> None:
        """Delete the journal: the cycle is in the registry now."""
        shutil.rmtree(self.folder, ignore_errors=True)


def inline(step: Callable[P, R]) -> Callable[P, R]:
    """Return a step unchanged, to run in this process."""
    return step
