"""A small real project with a champion and a second batch that waits: made once, put back for every fault."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from tests.faults.deeds import Trace
from tests.faults.invariants import State, state_of, unlike
from tests.faults.moments import Moment
from tests.support import warm
from tests.support.tiny import made_sentences, tiny_project
from tests.support.warm import Asked, Ended, Running

ONE: dict[str, Any] = {"labels": ["loan", "fee"], "rows": 80, "seed": 1}
TWO: dict[str, Any] = {"labels": ["loan", "box"], "rows": 80, "seed": 2}
TRAINING = {
    "epochs": 6,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "head_learning_rate": 1e-2,
    "precision": "float32",
}
GATES = [{"name": "floor", "min": 0.3}]


@dataclass(frozen=True)
class Rows:
    """The ids of all rows that ever came: those to be learnt from, and those that are broken."""

    good: list[str]
    broken: list[str]


@dataclass
class Prepared:
    """A project at one place, for MLflow keeps absolute paths: each fault gets it back as it was."""

    place: Path
    template: Path
    scratch: Path
    rows: Rows
    undisturbed: State
    moments: list[Moment] = field(default_factory=list)
    seconds: float = 0.0
    calls: int = 0

    @property
    def artifacts(self) -> Path:
        """The folder with the files of all versions."""
        return self.place / "mlflow" / "artifacts"

    @property
    def database(self) -> str:
        """SQLAlchemy URL that reads MLflow's database and never waits for long."""
        return f"sqlite:///file:{self.place}/mlflow/mlflow.db?mode=ro&timeout=0.2&uri=true"

    def put_back(self) -> None:
        """Make the project what it was before the second batch was read."""
        for one in self.place.iterdir() if self.place.exists() else []:  # the place may be a mount
            shutil.rmtree(one) if one.is_dir() else one.unlink()
        shutil.copytree(self.template, self.place, symlinks=True, dirs_exist_ok=True)

    def start(self, *arguments: str, before: Any = warm.nothing) -> Running:
        """Start a command of `cl` on this project."""
        self.calls += 1
        first, *rest = arguments
        return warm.start(self.scratch / str(self.calls), before, first, *rest, "-p", str(self.place))

    def cl(self, *arguments: str, before: Any = warm.nothing) -> Ended:
        """Run a command of `cl` on this project to its end."""
        return self.start(*arguments, before=before).end()

    def run(self, before: Any = warm.nothing) -> Ended:
        """Run the cycle that waits."""
        return self.cl("run", "--plain", before=before)

    def state(self) -> State:
        """Return what is to be seen of this project, by a process of its own."""
        return self.call(state_of)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a function of the project's folder returns, called in a process of its own."""
        return self.ask(function, *arguments).result()

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Asked:
        """Call a function of the project's folder in a process of its own, and do not wait for it."""
        self.calls += 1
        return warm.ask(self.scratch / str(self.calls), function, self.place, *arguments)

    def unlike_undisturbed(self) -> list[str]:
        """Return in what the project differs from one that nothing happened to."""
        return unlike(self.state(), self.undisturbed, self.rows)


def prepare(folder: Path, model: Path) -> Prepared:
    """Make the project, and run it undisturbed: that lists its moments, and shows what it comes to.

    Args:
        folder: where everything lies; short-lived.
        model: the folder of a small pretrained model.
    """
    project = Prepared(folder / "shop", folder / "template", folder / "said", Rows([], []), State())
    begun(project, model)
    trace = Trace(folder / "moments.tsv", project.place)
    ended = _must(project.run(before=trace))
    project.moments, project.seconds, project.undisturbed = trace.read(), ended.seconds, project.state()
    return project


def begun(project: Prepared, model: Path, **changes: Any) -> None:
    """Make a project with a champion, let a second batch arrive, and keep it as it is then."""
    learner = {"name": str(model), "dropout": 0.0, "max_length": 64}
    tiny_project(project.place, model, model=learner, gates=GATES, training=TRAINING, **changes)
    rows = Rows([], [])
    _arrives(project.place, rows, "one", **ONE)
    _must(project.run())
    _arrives(project.place, rows, "two", **TWO)
    project.rows = rows
    shutil.copytree(project.place, project.template, symlinks=True)


def _arrives(place: Path, sent: Rows, name: str, *, labels: list[str], rows: int, seed: int) -> None:
    """Let a batch arrive in which two rows are broken, two are repeated, and one has the id of another."""
    good = made_sentences(labels, rows, seed=seed)
    broken = pd.DataFrame({"id": [f"x{seed}-0", f"x{seed}-1"], "text": ["", "a lamp"], "label": ["loan", ""]})
    taken = pd.DataFrame({"id": [good["id"][0]], "text": ["another text"], "label": [labels[1]]})
    everything = pd.concat([good, broken, good.head(2), taken], ignore_index=True)
    everything.to_csv(place / "inbox" / f"{name}.csv", index=False)
    sent.good.extend(good["id"])
    sent.broken.extend([*broken["id"], *taken["id"]])


def _must(ended: Ended) -> Ended:
    assert ended.code == 0, ended.err or ended
    return ended
