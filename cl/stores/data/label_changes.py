"""Changes of the labels that a project knows: renamed, merged, split, retired, restored.

Each is recorded in data/, and so in every later version of it. Rows that come in under a former label are read by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cl.records import ANNOTATED, Record
from cl.stores.files import write_text
from cl.stores.project_folder import ProjectFolder
from cl.tasks import Column, ValueKind, names_in, renamed, renamed_tag

if TYPE_CHECKING:
    import pandas as pd

ChangeKind = Literal["rename", "merge", "split", "retire", "restore"]


class LabelChange(Record):
    """The record of one change."""

    number: int
    kind: ChangeKind
    labels: list[str] = Field(description="The labels before: classes, or entity types")
    into: list[str] = Field(description="The labels that stand for them from then on")
    changed_at: datetime
    by: str
    why: str
    rows: dict[str, dict[str, int]] = Field(description="Experience -> split -> rows that changed")

    @property
    def ended(self) -> list[str]:
        """The labels that are no longer used."""
        return [label for label in self.labels if label not in self.into]

    @property
    def total(self) -> int:
        """The number of rows that changed."""
        return sum(count for splits in self.rows.values() for count in splits.values())

    def describe(self) -> str:
        """Return the change in a few words.

        >>> LabelChange.example("merge", ["fee", "charge"], ["cost"]).describe()
        "'fee' and 'charge' merged into 'cost'"
        """
        before, after = (" and ".join(f"'{label}'" for label in labels) for labels in (self.labels, self.into))
        verbs = {"rename": "renamed to", "merge": "merged into", "split": "split into"}
        return f"{before} {verbs[self.kind]} {after}" if self.kind in verbs else f"{before or after} {self.kind}d"

    @classmethod
    def example(cls, kind: ChangeKind, labels: list[str], into: list[str]) -> LabelChange:
        """Return a change without rows, for examples."""
        now = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
        return cls(number=1, kind=kind, labels=labels, into=into, changed_at=now, by="", why="", rows={})


@dataclass(frozen=True)
class LabelHistory:
    """All changes of a project's labels, oldest first."""

    changes: tuple[LabelChange, ...] = ()

    def read(self, label: str) -> tuple[str, str | None]:
        """Return the name that a label has today; if it has ended, its last name, and what became of it.

        >>> renamed = LabelChange.example("rename", ["fee"], ["charge"])
        >>> retired = LabelChange.example("retire", ["charge"], [])
        >>> LabelHistory((renamed,)).read("fee"), LabelHistory((renamed, retired)).read("fee")
        (('charge', None), ('charge', "'charge' retired"))
        """
        since = max((number for number, change in enumerate(self.changes, 1) if label in change.into), default=0)
        for change in self.changes[since:]:
            if label in change.ended:
                if len(change.into) != 1:
                    return label, change.describe()
                label = change.into[0]
        return label, None

    def former(self) -> dict[str, str | None]:
        """Return each former label with its name today; None: it has ended."""
        names = dict.fromkeys(label for change in self.changes for label in change.ended)
        read = {label: self.read(label) for label in names}
        return {label: None if problem else name for label, (name, problem) in read.items() if problem or name != label}


@dataclass(frozen=True)
class Relabelling:
    """How one change reads the labels of rows and of models.

    ``names`` maps each label that ends to its new name, None if it has none; ``of_rows`` maps the ids of rows whose
    label was split to their new labels.
    """

    names: Mapping[str, str | None]
    of_rows: Mapping[str, str] = field(default_factory=dict)
    added: tuple[str, ...] = ()

    def rows(self, rows: pd.DataFrame, answer: Column) -> pd.DataFrame:
        """Return rows under the new labels; rows whose only label was retired are left out.

        Entities of a retired type are entities no longer: their tags become O. Of several labels the others stay.

        Args:
            rows: with ids.
            answer: their column with the labels or tags.
        """
        import pandas as pd

        pairs = zip(rows["id"], rows[answer.name], strict=True)
        answers = [self.of_rows.get(id) or renamed(answer.kind, value, self.name) for id, value in pairs]
        changed = rows.assign(**{answer.name: pd.Series(answers, index=rows.index, dtype=object)})
        return self.annotated(changed[changed[answer.name].notna()])

    def annotated(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return rows whose annotated entity types, where not all are, have the new names."""
        import pandas as pd

        if ANNOTATED not in rows:
            return rows
        names = [
            None if types is None or isinstance(types, float) else self.head(types, tags=False)
            for types in rows[ANNOTATED]
        ]
        return rows.assign(**{ANNOTATED: pd.Series(names, index=rows.index, dtype=object)})

    def name(self, label: str) -> str | None:
        """Return the new name of a label, or entity type; None: it has none."""
        return self.names.get(label, label)

    def tag(self, tag: str) -> str:
        """Return a BIO2 tag under the new name of its entity type."""
        return renamed_tag(tag, self.name)

    def head(self, labels: Iterable[str], *, tags: bool) -> list[str]:
        """Return the labels of a model's head under the new names, each once, in the old order; new ones come last."""
        if tags:
            prefixed = [f"{prefix}-{name}" for name in self.added for prefix in ("B", "I")]
            return list(dict.fromkeys([*map(self.tag, labels), *prefixed]))
        return list(dict.fromkeys(name for name in [*map(self.name, labels), *self.added] if name is not None))


def read_label_changes(project: ProjectFolder) -> LabelHistory:
    """Return all recorded changes."""
    paths = sorted(_folder(project).glob("*.json"))
    return LabelHistory(tuple(LabelChange.model_validate_json(path.read_bytes()) for path in paths))


def write_label_change(project: ProjectFolder, change: LabelChange) -> None:
    """Write a record to data/."""
    write_text(_folder(project) / f"{change.number:04d}.json", change.model_dump_json(indent=1))


def count_changed(rows: pd.DataFrame, answer: Column, changes: Callable[[str], bool]) -> int:
    """Return how many rows have a label, or an entity of a type, that changes."""
    if answer.kind is ValueKind.LABEL:
        return int(rows[answer.name].map(changes).sum())
    return sum(any(map(changes, names_in(answer.kind, value))) for value in rows[answer.name])


def _folder(project: ProjectFolder) -> Path:
    return project.data / "labels"
