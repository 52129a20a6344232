"""`cl tune`: better settings for a rung of the ladder, searched on validation rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cl import config as configuration
from cl.config import Config
from cl.errors import InputError
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
        rung: of its ladder; None: the update as it stands.
        data: what `cl ingest` would be given; None: the project's own experiences.
        out: where trials and settings are kept; None: in the project's state, or in tune/NAME.
        given: what is said of the budget on the command line, by its key under ``tune``.
        on_trial: told of each trial when it ends.

    Raises:
        InputError: the configuration, the rung or the data cannot be used.
    """
    from cl.models.feature_cache import cached_in

    said = {f"tune.{key}": value for key, value in given.items() if value is not None}
    config = configuration.load(path, said)
    _check_rung(config, rung)
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; name a folder")
    own = ProjectFolder(path.resolve().parent)
    place = out or (own.work / "tune" if data is None else Path("tune") / config.name)
    experiences = _stream(config, data, place, own)
    with ProjectFolder(place).lock(), cached_in(place / "features.sqlite"):
        found = tune(config, experiences, rung=rung, folder=place, on_trial=on_trial)
    file = place / BEST
    write_text(file, found.fragment)
    return found, file


def _check_rung(config: Config, rung: str | None) -> None:
    names = [one.name for one in config.ladder]
    if rung is not None and rung not in names:
        raise InputError(
            f"--rung {rung}: no such rung; there are: {', '.join(names) or 'none, for there is no ladder'}"
        )
    if rung is None and names:
        raise InputError(f"--rung is missing: the configuration has a ladder; its rungs are {', '.join(names)}")


def _stream(config: Config, data: Path | None, place: Path, project: ProjectFolder) -> Experiences:
    if data is None:
        return Experiences(project)
    if not data.exists():
        raise InputError(f"--data {data}: no such file or folder")
    from cl.backtesting.stream import read_stream

    return read_stream(config, data, place / "streams")[0]


def trial_line(trial: Trial) -> str:
    """Return one line of the table of trials."""
    score = "-" if trial.score is None else f"{100 * trial.score:.1f} %"
    settings = ", ".join(f"{key}: {value}" for key, value in trial.settings.items())
    return (
        f"{trial.number:>5}  {trial.state:<9}{score:>8}{trial.experiences:>13}{trial.rows:>10,}{trial.seconds:>9.1f}  "
        f"{settings}{'; ' + trial.why if trial.why else ''}"
    )


HEADER = f"{'trial':>5}  {'state':<9}{'score':>8}{'experiences':>13}{'rows':>10}{'seconds':>9}  settings"


def search_lines(found: Search, file: Path) -> list[str]:
    """Return the trials, the best first, and the settings to paste."""
    ranked = sorted(found.trials, key=lambda one: (one.state == "complete", one.score or 0.0), reverse=True)
    head = f"Best: trial {found.best.number}, on validation rows only. In {file}, to be pasted into cl.yaml:"
    return [HEADER, *(trial_line(one) for one in ranked), "", head, "", found.fragment.rstrip()]
