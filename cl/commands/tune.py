"""`cl tune`: search better settings for a rung of the ladder on validation rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cl import config as configuration
from cl.config import Config
from cl.errors import InputError
from cl.process.progress import stage
from cl.records import Search, Trial
from cl.search.tune import tune
from cl.stores.data.experiences import Experiences
from cl.stores.files import write_text
from cl.stores.project_folder import ProjectFolder

BEST = "best.yaml"
Found = tuple[Search, Path]


def run_tune(
    path: Path,
    *,
    rung: str | None,
    data: Path | None,
    out: Path | None,
    given: dict[str, Any],
    on_trial: Callable[[Trial], None],
) -> Found:
    """Search, write the best settings, and return all trials and the file.

    Args:
        path: the configuration; without ``data``, that of a project.
        rung: of its ladder; None: there is no ladder.
        data: a path as for `cl ingest`; None: the project's own experiences.
        out: folder for trials and settings; None: the project's work folder, or tune/NAME.
        given: budget options of the command line, by their key under ``tune``.
        on_trial: called with each trial when it ends.

    Raises:
        InputError: the configuration, the rung or the data cannot be used.
    """
    overrides = {f"tune.{key}": value for key, value in given.items() if value is not None}
    config = configuration.load(path, overrides)
    _check_rung(config, rung)
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; name a folder")
    own = ProjectFolder(path.resolve().parent)
    folder = out or (own.work / "tune" if data is None else Path("tune") / config.name)
    experiences = _read_experiences(config, data, folder, own)
    with stage("load libraries"):
        import cl.training.train  # noqa: F401  # else the first trial would seem to take longer than the others
        from cl.models.feature_cache import cached_in

    with ProjectFolder(folder).lock(), cached_in(folder / "features.sqlite"):
        search = tune(config, experiences, rung=rung, folder=folder, on_trial=on_trial)
    file = folder / BEST
    write_text(file, search.fragment)
    return search, file


def _check_rung(config: Config, rung: str | None) -> None:
    names = [entry.name for entry in config.ladder]
    if rung is not None and rung not in names:
        raise InputError(
            f"--rung {rung}: no such rung; there are: {', '.join(names) or 'none, because there is no ladder'}"
        )
    if rung is None and names:
        raise InputError(f"--rung is missing: the configuration has a ladder; its rungs are {', '.join(names)}")


def _read_experiences(config: Config, data: Path | None, folder: Path, project: ProjectFolder) -> Experiences:
    if data is None:
        return Experiences(project)
    if not data.exists():
        raise InputError(f"--data {data}: no such file or folder")
    from cl.backtesting.stream import read_stream

    return read_stream(config, data, folder / "streams")[0]


def trial_line(trial: Trial) -> str:
    """Return one line of the table of trials."""
    score = "-" if trial.score is None else f"{100 * trial.score:.1f}"
    settings = ", ".join(f"{key}: {value}" for key, value in trial.settings.items())
    return (
        f"{trial.number:>5}  {trial.state:<9}{score:>8}{trial.experiences:>13}{trial.rows:>10,}{trial.seconds:>9.1f}  "
        f"{settings}{'; ' + trial.why if trial.why else ''}"
    )


HEADER = f"{'trial':>5}  {'state':<9}{'score %':>8}{'experiences':>13}{'rows':>10}{'seconds':>9}  settings"


def search_lines(search: Search, file: Path) -> list[str]:
    """Return the trials, best first, and the settings to paste into cl.yaml."""
    ranked = sorted(search.trials, key=lambda trial: (trial.state == "complete", trial.score or 0.0), reverse=True)
    head = f"Best: trial {search.best.number}, on validation rows only. Paste into cl.yaml, from {file}:"
    return [HEADER, *(trial_line(trial) for trial in ranked), "", head, "", search.fragment.rstrip()]
