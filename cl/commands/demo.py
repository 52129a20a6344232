"""`cl demo`: replay six months of a sample stream in a new project."""

from __future__ import annotations

import shutil
import time
from io import TextIOBase
from pathlib import Path
from typing import Any, TextIO

from cl import sample
from cl.commands.ingest import ingest_path
from cl.commands.init import scaffold, with_settings
from cl.commands.report import report
from cl.commands.run import Runner, libraries_at_hand, run_cycles
from cl.config import load, parse
from cl.config.yaml import read_yaml, read_yaml_file
from cl.errors import ConfigError, InputError
from cl.models.locate import locate_model
from cl.process.progress import stage
from cl.records import Cycle
from cl.reports.terminal.cycles import HEADER, cycle_line, reason_lines
from cl.stores.files import write_text
from cl.stores.opened import open_project
from cl.stores.project_folder import ProjectFolder

MARK = "demo"
"""The file in .cl/ that says that `cl demo` has made this project, and may replace it."""


def run_demo(
    folder: Path, *, runner: Runner, out: TextIO | TextIOBase, settings: Path | None = None, fresh: bool = False
) -> dict[str, Any]:
    """Replay the stream and return one entry per month; progress is printed to ``out``.

    Args:
        folder: of the new project.
        runner: with or without Prefect.
        out: for the progress.
        settings: a YAML file with settings that replace the sample's own, such as those of the stores.
        fresh: replace the demo that the folder holds.

    Raises:
        BusyError: a cycle is running in the demo that shall be replaced.
        InputError: the folder already contains a project, or with ``fresh`` one that is no demo, or the settings are
            invalid, or the model is not installed.
    """
    started = time.monotonic()
    if is_there := (folder / "cl.yaml").exists():
        check_replaceable(folder, fresh=fresh)
    configuration = demo_configuration(settings)
    locate_model(parse(read_yaml(configuration), where="the demo").model.name)  # before anything is made
    if is_there:
        remove_demo(folder)
    with stage("create the project"):
        project = scaffold(folder, configuration)
    write_text(project.work / MARK, "")
    print(f"A new project in {project.root}; six months of customer messages arrive.\n", file=out)
    print(HEADER, file=out, flush=True)
    cycles = []
    with libraries_at_hand(open_project(project.root).stores):
        for month in sample.write_months(project.root / "inbox"):
            ingest_path(project.root, str(month))
            for cycle in run_cycles(project.root, again=None, runner=runner):
                cycles.append(cycle)
                print(cycle_line(cycle), file=out, flush=True)
    with stage("write the report"):
        path = report(open_project(project.root)).path
    print(file=out)
    for line in reason_lines(cycles):
        print(line, file=out)
    print(f"\nTook {time.monotonic() - started:.0f} s. Next:", file=out)
    print(
        f"  cl status -p {folder}      cl history -p {folder}      cl predict -p {folder} 'my card is gone'",
        file=out,
    )
    if settings is None:
        print(f"  mlflow ui --backend-store-uri sqlite:///{project.root}/mlflow/mlflow.db", file=out)
    print(f"Report: {path}", file=out, flush=True)
    return {
        "cycles": [summarise_cycle(cycle) for cycle in cycles],
        "report": str(path),
        "project": str(project.root),
    }


def check_replaceable(folder: Path, *, fresh: bool) -> None:
    """Check that a folder with a project holds a demo, and that it is to be replaced.

    Raises:
        InputError: it is not to be replaced, the folder holds a project that is no demo, or one with stores elsewhere.
    """
    project = ProjectFolder(folder.resolve())
    if not (project.work / MARK).is_file() or folder.is_symlink():
        raise InputError(
            f"{folder}: already contains a project (cl.yaml) that `cl demo` did not make; name a new folder"
        )
    if not fresh:
        raise InputError(
            f"{folder}: already contains the demo: cl status -p {folder} shows it, cl demo --dir {folder} --fresh "
            "replaces it"
        )
    stores = load(project.config).stores
    for uri in (stores.tracking_uri, stores.ledger_uri):
        if not uri.startswith("sqlite:///") or uri.startswith("sqlite:////"):
            raise InputError(f"{folder}: its versions are in stores outside of this folder; name a new folder")


def remove_demo(folder: Path) -> None:
    """Remove the demo that a folder holds.

    Raises:
        BusyError: a cycle is running in it.
    """
    project = ProjectFolder(folder.resolve())
    with project.lock():
        shutil.rmtree(project.root)


def demo_configuration(settings: Path | None) -> str:
    """Return the sample's configuration, with the settings of a file in place of its own.

    Raises:
        ConfigError: the file cannot be read, or a key or value in it is invalid.
    """
    if settings is None:
        return sample.sample_configuration()
    given = read_yaml_file(settings).data or {}
    if not isinstance(given, dict):
        raise ConfigError(f"{settings}: must hold keys and values, got a {type(given).__name__}")
    return with_settings(sample.sample_configuration(), given, where=str(settings))


def summarise_cycle(cycle: Cycle) -> dict[str, Any]:
    """Return the entry of one month for `cl demo --json`."""
    scored = cycle.evaluation
    return {
        "experience": cycle.experience.id,
        "rows": cycle.experience.total,
        "quarantined": cycle.experience.quarantined_rows,
        "drift": cycle.drift.drifted,
        "decision": cycle.decision.action,
        "accuracy": scored.accuracy if scored else cycle.drift.champion_score,
        "forgetting_max": scored.forgetting_max if scored else 0.0,
        "verdict": cycle.verdict,
        "champion_version": cycle.champion_after,
        "seconds": cycle.seconds,
    }
