"""The public door for Python: a project, and what it can be asked."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

    from cl.backtesting.results import Result
    from cl.config import Config
    from cl.records import Alias, Cycle, Experience, LedgerEntry, VersionInfo
    from cl.registry.versions import LoadedVersion


@dataclass(frozen=True)
class Project:
    """A model that keeps learning: one folder with its data, its versions and their history.

    Each method does what the command of the same name does, and raises what its command would say.
    """

    folder: Path

    @classmethod
    def create(
        cls, folder: str | Path, *, task: str = "text_classification", settings: Mapping[str, Any] | None = None
    ) -> Project:
        """Make a project in a new or empty folder, as `cl init` does.

        Args:
            folder: its name, in letters, digits and dashes, is the model's name in the registry.
            task: what is predicted.
            settings: keys of cl.yaml with their values, nested as they are there: ``{"training": {"epochs": 2}}``.

        Raises:
            InputError: the folder holds a project already.
            ConfigError: a key or value cannot be.
        """
        from cl.commands.init import scaffold, template_with
        from cl.process.processors import wait_passively

        wait_passively()
        path = Path(folder)
        return cls(scaffold(path, template_with(path.resolve().name, {"task": task, **(settings or {})})).root)

    @classmethod
    def open(cls, folder: str | Path) -> Project:
        """Open the project in a folder, or above it.

        Raises:
            InputError: there is none, or its configuration is wrong.
        """
        from cl.process.processors import wait_passively
        from cl.stores.opened import open_project

        wait_passively()
        return cls(open_project(Path(folder)).project.root)

    @property
    def config(self) -> Config:
        """The configuration, as cl.yaml has it now."""
        from cl.stores.opened import open_project

        return open_project(self.folder).config

    def ingest(self, rows: pd.DataFrame | str | Path, *, name: str = "frame") -> list[Experience]:
        """Ingest rows and return the experiences that they became; none when every row was seen before.

        Args:
            rows: a data frame in the columns that the configuration names; a file, or a folder of files.
            name: of the experience, where a data frame is given.

        Raises:
            SourceError: the rows cannot be read, or none is good; nothing has changed.
            BusyError: another process works on this project.
        """
        from cl.commands.ingest import ingest_frame, ingest_path

        if isinstance(rows, str | Path):
            return ingest_path(self.folder, str(rows))
        return ingest_frame(self.folder, rows, name=name)

    def run(self, *, again: str | None = None) -> Cycles:
        """Run one cycle for each experience that waits, oldest first, in this process; return them.

        Args:
            again: id of an experience that was held or refused, to be tried once more.

        Raises:
            BusyError: another process works on this project.
            PerennialError: a stage failed; data, registry and champion are as they were.
        """
        from cl.commands.run import run_cycles

        return Cycles(run_cycles(self.folder, again=again, runner="plain"))

    def predict(self, inputs: Sequence[str]) -> pd.DataFrame:
        """Return the champion's answers to texts: text, prediction, confidence (0 to 1), version and out_of_scope.

        Where a tagger finds the spans of bare texts: text, relations (a list), version and tagger.

        Raises:
            InputError: there is no champion yet, or the tagger cannot be used.
        """
        import pandas as pd

        from cl.commands.predict import predict_texts

        answers = predict_texts(self.folder, list(inputs))
        columns = ["text", "prediction", "confidence", "version", "out_of_scope"]
        return pd.DataFrame(answers, columns=list(answers[0]) if answers and "tagger" in answers[0] else columns)

    @property
    def champion(self) -> str | None:
        """The version that serves; None before the first."""
        from cl.stores.opened import open_project

        here = open_project(self.folder)
        return here.stores.ledger.champion(here.config.name)

    def versions(self) -> list[VersionInfo]:
        """Return all registered versions, oldest first."""
        from cl.stores.opened import open_project

        registry = open_project(self.folder).stores.registry
        registry.initialise()
        return registry.versions()

    def load(self, version: str | None = None) -> LoadedVersion:
        """Load a registered version, by default the champion, from the registry or this machine's copy.

        Raises:
            InputError: there is no champion yet.
            StoreError: there is no such version, or the registry is out of reach.
            IntegrityError: a file is not the one that was registered.
        """
        from cl.registry.versions import load_version
        from cl.stores.opened import open_project

        here = open_project(self.folder)
        folder = here.stores.champion_folder(version or here.champion())
        assert folder is not None
        return load_version(folder)

    def history(self) -> Cycles:
        """Return all finished cycles, oldest first."""
        from cl.commands.status import read_cycles

        return Cycles(read_cycles(self.folder)[0])

    def promote(
        self,
        version: str,
        *,
        why: str,
        alias: Alias = "champion",
        share: float | None = None,
        despite_gates: bool = False,
    ) -> LedgerEntry:
        """Make a version champion, canary or shadow, and return the ledger's entry.

        Args:
            version: of the registry.
            why: goes into the ledger.
            alias: what it becomes.
            share: of the requests, 0 to 1, for a canary or a shadow.
            despite_gates: also a version that failed its gates, if it loads and answers.

        Raises:
            InputError: there is no such version, it was withdrawn, or the reason is empty.
            RefusedError: it failed its gates.
        """
        from cl.commands.promotion import promote_version

        return promote_version(self.folder, version, alias=alias, share=share, why=why, despite_gates=despite_gates)

    def rollback(self, version: str | None = None, *, why: str) -> LedgerEntry:
        """Make an earlier version champion again, by default the one before, and return the ledger's entry.

        Raises:
            InputError: there is no such version, or it never passed its gates.
        """
        from cl.commands.promotion import roll_back

        return roll_back(self.folder, version, why=why)

    def report(self, out: str | Path | None = None) -> Path:
        """Write the HTML report about everything that happened, and return where it lies."""
        from cl.commands.report import report_on

        return report_on(self.folder, Path(out) if out is not None else None).path

    def _repr_html_(self) -> str:
        champion = self.champion
        serves = f"version {html.escape(champion)} serves" if champion else "no champion yet"
        return f"<b>{html.escape(self.config.name)}</b> in <code>{html.escape(str(self.folder))}</code>: {serves}"


class Cycles(list["Cycle"]):
    """Finished cycles; a notebook shows them as a table."""

    @property
    def matrix(self) -> pd.DataFrame:
        """The accuracy matrix R: a row for each update that was promoted, and for the last one, promoted or not.

        Its columns are the experiences tested, in the order in which they were learned; NaN: not tested, or undecided.
        """
        import pandas as pd

        judged = [cycle for cycle in self if cycle.evaluation]
        kept = [cycle for cycle in judged if cycle.verdict == "promoted" or cycle is judged[-1]]
        rows = {cycle.evaluation.newest: cycle.evaluation.row for cycle in kept if cycle.evaluation}
        tested = sorted({name for row in rows.values() for name in row})
        return pd.DataFrame.from_dict(rows, orient="index").reindex(columns=tested)

    def _repr_html_(self) -> str:
        from cl.reports.html import cycles_table

        return cycles_table(self)


def backtest(
    config: Config,
    data: pd.DataFrame | Mapping[str, pd.DataFrame] | str | Path,
    *,
    strategies: Sequence[str] = (),
    policies: Sequence[Literal["always", "first", "last", "drift"]] = ("always",),
    seeds: Sequence[int] = (),
    baselines: bool = True,
    out: str | Path = "backtest",
    jobs: int | None = None,
) -> list[Result]:
    """Replay a whole stream under several strategies, and return what each reached and cost.

    A run that was interrupted goes on after its last finished experience; one that is finished is not repeated.

    Args:
        config: everything but strategy and seed, such as `Project.config`.
        data: a file or a folder of files; a data frame, cut by ``data.period`` where that is set; or one data frame an
            experience, by name, in order.
        strategies: names, or as on the command line; none: the configuration's own ladder or strategy.
        policies: when to learn.
        seeds: one run each; none: the configuration's.
        baselines: whether to replay the simplest things that could work, too: majority class, nearest class mean,
            logistic regression.
        out: folder for the stream, the runs and the report.
        jobs: runs at once; None: one for each two processors.

    Raises:
        InputError: a strategy is unknown or refused, or the stream cannot be read.
    """
    from cl.backtesting.backtest import BacktestPlan
    from cl.backtesting.backtest import backtest as replay
    from cl.backtesting.outputs import write_outputs
    from cl.commands.backtest import as_files

    path = Path(out)
    results = replay(
        config,
        Path(data) if isinstance(data, str | Path) else as_files(data, path / "data"),
        BacktestPlan(strategies, policies, seeds, baselines=baselines),
        out=path,
        jobs=jobs,
    )
    write_outputs(results, path, name=config.name)
    return results
