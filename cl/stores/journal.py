"""The journal of one cycle: each step's record, so that a cycle that was killed goes on where it stopped."""

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
    """Runs the steps of a cycle: in this process (`inline`), or as Prefect tasks."""

    def __call__(self, step: Callable[P, R], /) -> Callable[P, R]:
        """Return the step as it is to be called: the same arguments, the same record."""
        ...


@dataclass(frozen=True)
class Journal:
    """A folder with one JSON file a finished step; the step's own files lie beside it."""

    folder: Path

    def part(self, name: str) -> Journal:
        """Return the journal of a part of the cycle, in a folder below this one."""
        return Journal(self.folder / name)

    def once(self, step: Callable[P, R], run: Executor) -> Callable[P, R]:
        """Return the step made repeatable: done before, its record is read; else it is run and recorded."""
        kind: type[Record] = typing.get_type_hints(step)["return"]
        file = self.folder / f"{step.__name__}.json"

        def remembered(*args: P.args, **kwargs: P.kwargs) -> R:
            if file.exists():
                return typing.cast(R, kind.model_validate_json(file.read_text(encoding="utf-8")))
            self.folder.mkdir(parents=True, exist_ok=True)
            record = run(step)(*args, **kwargs)
            write_text(file, record.model_dump_json(indent=1))
            return record

        return remembered

    def read(self, name: str, kind: type[R]) -> R | None:
        """Return the record of a step that has finished, or None."""
        file = self.folder / f"{name}.json"
        return kind.model_validate_json(file.read_text(encoding="utf-8")) if file.exists() else None

    def write(self, name: str, record: Record) -> None:
        """Record something that is no step."""
        write_text(self.folder / f"{name}.json", record.model_dump_json(indent=1))

    def close(self) -> None:
        """Forget the cycle: it is in the registry now."""
        shutil.rmtree(self.folder, ignore_errors=True)


def inline(step: Callable[P, R]) -> Callable[P, R]:
    """Run a step in this process, as the function it is."""
    return step
