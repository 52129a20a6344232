"""Search the settings of a rung, or of the update as it stands: on validation rows, within a budget, with Optuna."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cl.config import Axis, Config
from cl.errors import DivergedError, InputError, PerennialError
from cl.records import Search, Trial
from cl.search import space
from cl.stores.data.experiences import Experiences, RowsOf

if TYPE_CHECKING:
    import optuna
    import pandas as pd

log = logging.getLogger(__name__)
STARTUP, WARMUP = 5, 3
"""Trials drawn at random before the search learns from them; finished trials before any is pruned."""
OPTUNA = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


@dataclass(frozen=True)
class TrialJob:
    """What every trial does: the experiences that it learns one after the other, at a rung, in a folder."""

    config: Config
    rung: str | None
    axes: dict[str, Axis]
    ids: list[str]
    rows_of: RowsOf
    folder: Path


def tune(
    config: Config,
    experiences: Experiences,
    *,
    rung: str | None,
    folder: Path,
    on_trial: Callable[[Trial], None] = lambda trial: None,
) -> Search:
    """Try settings until the budget is spent, and return all trials and the best.

    A trial learns the first experiences in order, and after each of them is scored on validation rows of all so far:
    what counts is what the settings keep as well as what they learn. Below the median of the others at the same place
    it is pruned (Golovin et al., 2017, section 3.2). Test rows are never read. The first trial is the settings as they
    are, so that the best is never worse than those. Killed, a search goes on where it was: its trials are in a SQLite
    file, and one that was killed is tried again.

    Args:
        config: the ladder or the update, and ``tune``.
        experiences: the stream.
        rung: of the ladder; None: strategy and model.tuning alone.
        folder: where trials.db and the trials' drafts are kept.
        on_trial: told of each trial when it ends.

    Raises:
        ConfigError: the space names nothing that this update has.
        InputError: an experience has no validation rows, or Optuna is not installed.
        PerennialError: the budget is spent and no trial came to its end.
    """
    axes = space.search_axes(config, rung)
    job = TrialJob(config, rung, axes, _first(config, experiences), _without_tests(experiences), folder / "draft")
    study = _study(job, folder)
    while (number := _next(study, config)) is not None:
        trial = study.ask()
        log.info("trial %d of %d", number, config.tune.trials)
        _try(job, study, trial)
        on_trial(_told(study.trials[trial.number]))
    shutil.rmtree(job.folder, ignore_errors=True)
    return _found(job, study)


def _first(config: Config, experiences: Experiences) -> list[str]:
    found = experiences.all()[: config.tune.experiences]
    if not found:
        raise InputError("there is no experience to learn: cl ingest PATH, or --data PATH")
    if lacking := [one.id for one in found if not (one.rows["train"] and one.rows["validation"])]:
        raise InputError(
            f"experience {', '.join(lacking)} has no training rows or no validation rows to be judged by; raise "
            "data.split.validation, or lower tune.experiences"
        )
    return [one.id for one in found]


def _without_tests(experiences: Experiences) -> RowsOf:
    def rows_of(ids: list[str], split: str) -> pd.DataFrame:
        assert split != "test", "settings that were chosen on test rows would make every later score a lie"
        return experiences.rows_of(ids, split)

    return rows_of


def _study(job: TrialJob, folder: Path) -> optuna.Study:
    """Open the search of this job, or begin it; what was killed in its midst is tried again."""
    try:
        import optuna
    except ImportError:
        raise InputError("cl tune needs Optuna: pip install 'perennial[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    axes = {key: axis if isinstance(axis, list) else axis.model_dump() for key, axis in job.axes.items()}
    decisive = [job.config.digest, job.rung, axes, job.ids]
    storage = optuna.storages.RDBStorage(f"sqlite:///{(folder / 'trials.db').resolve()}")
    study = optuna.create_study(
        study_name=hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16],
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=WARMUP),
    )
    before = study.trials
    # another seed each time that the search is gone on with: the same would draw the same settings once more
    study.sampler = optuna.samplers.TPESampler(seed=job.config.seed + len(before), n_startup_trials=STARTUP)
    if not before:
        study.enqueue_trial(space.current_values(job.config.at_rung(job.rung), job.axes))
    for one in before:
        if one.state == optuna.trial.TrialState.RUNNING:
            study.tell(one.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(one.params)
    return study


def _next(study: optuna.Study, config: Config) -> int | None:
    """Return the number of the trial to come, from 1; None when the budget is spent."""
    done = [_told(one) for one in study.trials if _counts(one)]
    spent, bound = sum(one.seconds for one in done), config.tune.max_seconds
    usual = statistics.fmean([one.seconds for one in done]) if done else 0.0
    if len(done) >= config.tune.trials or (bound is not None and spent + usual > bound):
        return None
    return len(done) + 1


def _counts(trial: optuna.trial.FrozenTrial) -> bool:
    """Tell whether a trial has ended by itself: one that was killed has no seconds."""
    return trial.state.is_finished() and "seconds" in trial.user_attrs


def _try(job: TrialJob, study: optuna.Study, trial: optuna.Trial) -> None:
    """Take one trial as far as it is worth it."""
    from optuna.trial import TrialState

    started, rows = time.monotonic(), 0
    own = space.config_at(
        job.config.at_rung(job.rung), {key: _suggested(trial, key, axis) for key, axis in job.axes.items()}
    )
    state, value, why = TrialState.COMPLETE, None, ""
    try:
        for step, (score, learnt) in enumerate(_scores(own, job)):
            value, rows = score, rows + learnt
            trial.report(score, step)
            if step < len(job.ids) - 1 and trial.should_prune():
                state = TrialState.PRUNED
                break
    except DivergedError as error:
        state, value, why = TrialState.FAIL, None, str(error)
    for key, told in (("rows", rows), ("why", why), ("seconds", round(time.monotonic() - started, 2))):
        trial.set_user_attr(key, told)
    study.tell(trial, value if state == TrialState.COMPLETE else None, state=state)


def _scores(config: Config, job: TrialJob) -> Iterator[tuple[float, int]]:
    """Learn one experience after the other; yield the mean score on all so far, and how many rows that took."""
    from cl.models.inference import predict
    from cl.models.persistence import load_learner
    from cl.training.train import train

    champion: Path | None = None
    for at, one in enumerate(job.ids):
        folder = job.folder / str(at)
        done = train(config, champion=champion, new=[one], past=job.ids[:at], rows_of=job.rows_of, folder=folder)
        learner, scores = load_learner(folder), []
        for past in job.ids[: at + 1]:
            rows = job.rows_of([past], "validation")
            values = [found.value for found in predict(learner, rows, precision=config.training.precision)]
            scores.append(learner.task.score(rows, values)[learner.task.metric])
        yield statistics.fmean(scores), done.rows_learnt
        champion = folder


def _suggested(trial: optuna.Trial, key: str, axis: Axis) -> Any:
    if isinstance(axis, list):
        return trial.suggest_categorical(key, axis)
    if isinstance(axis.low, int) and isinstance(axis.high, int):
        return trial.suggest_int(key, axis.low, axis.high, log=axis.log)
    return float(f"{trial.suggest_float(key, axis.low, axis.high, log=axis.log):.4g}")  # more digits say nothing


def _told(trial: optuna.trial.FrozenTrial) -> Trial:
    reached = trial.intermediate_values
    return Trial(
        number=trial.number + 1,
        state=OPTUNA[trial.state.name],  # type: ignore[arg-type]
        score=reached[max(reached)] if reached else None,
        experiences=len(reached),
        rows=trial.user_attrs.get("rows", 0),
        seconds=trial.user_attrs.get("seconds", 0.0),
        settings={
            key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in trial.params.items()
        },
        why=trial.user_attrs.get("why", ""),
    )


def _found(job: TrialJob, study: optuna.Study) -> Search:
    trials = [_told(one) for one in study.trials if _counts(one)]
    whole = [one for one in trials if one.state == "complete"]
    if not whole:
        raise PerennialError(
            f"none of {len(trials)} trials came to its end within tune.trials: {job.config.tune.trials} and "
            f"tune.max_seconds: {job.config.tune.max_seconds}; raise them, or make tune.space narrower"
        )
    best = max(whole, key=lambda one: (one.score or 0.0, -one.seconds))
    return Search(
        rung=job.rung,
        experiences=job.ids,
        trials=trials,
        best=best,
        fragment=space.config_fragment(job.config, job.rung, best.settings),
    )
