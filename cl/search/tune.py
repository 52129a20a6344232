"""Search the settings of a rung or of the whole update: on validation rows, within a budget, with Optuna."""

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
from cl.extras import require
from cl.process.progress import Meter, meter, stage
from cl.records import Search, Trial
from cl.search import space
from cl.stores.data.experiences import Experiences, RowsOf

if TYPE_CHECKING:
    import optuna
    import pandas as pd

log = logging.getLogger(__name__)
STARTUP, WARMUP = 5, 3
"""Random trials before the sampler learns from them; finished trials before any is pruned."""
OPTUNA = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


@dataclass(frozen=True)
class TrialJob:
    """What every trial does: learn the experiences in order, at a rung, in a folder."""

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

    A trial learns the first experiences in order, and after each it is scored on the validation rows of all experiences
    so far: the score counts what the settings retain as well as what they learn. A trial below the median of the others
    at the same step is pruned (Golovin et al., 2017, section 3.2). Test rows are never read. The first trial uses the
    current settings, so that the best is never worse. A killed search resumes: its trials are in a SQLite file, and the
    interrupted trial is repeated.

    Args:
        config: the ladder or the update, and ``tune``.
        experiences: the stream.
        rung: rung of the ladder to tune; None: the top-level strategy and model.tuning.
        folder: where trials.db and the trials' drafts are kept.
        on_trial: called with each trial when it ends.

    Raises:
        ConfigError: a key of the space does not exist in this update.
        InputError: an experience has no training or validation rows, or Optuna is not installed.
        PerennialError: the budget is spent and no trial completed.
    """
    axes = space.search_axes(config, rung)
    ids = _first_experiences(config, experiences)
    job = TrialJob(config, rung, axes, ids, _without_test_rows(experiences), folder / "draft")
    study = _open_study(job, folder)
    while (number := _next_number(study, config)) is not None:
        trial = study.ask()
        with stage(f"trial {number} of {config.tune.trials}"), meter(len(ids), "experiences") as learned:
            _run_trial(job, study, trial, learned)
        on_trial(_to_record(study.trials[trial.number]))
    shutil.rmtree(job.folder, ignore_errors=True)
    return _to_search(job, study)


def _first_experiences(config: Config, experiences: Experiences) -> list[str]:
    selected = experiences.all()[: config.tune.experiences]
    if not selected:
        raise InputError("there is no experience to learn: cl ingest PATH, or --data PATH")
    if lacking := [
        experience.id for experience in selected if not (experience.rows["train"] and experience.rows["validation"])
    ]:
        raise InputError(
            f"experience {', '.join(lacking)} has no training rows or no validation rows; raise "
            "data.split.validation, or lower tune.experiences"
        )
    return [experience.id for experience in selected]


def _without_test_rows(experiences: Experiences) -> RowsOf:
    def rows_of(ids: list[str], split: str) -> pd.DataFrame:
        assert split != "test", "settings chosen on test rows would bias every later score"
        return experiences.rows_of(ids, split)

    return rows_of


def _open_study(job: TrialJob, folder: Path) -> optuna.Study:
    """Open this job's study, or create it; interrupted trials are queued again."""
    require("cl tune", "optuna")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    axes = {key: axis if isinstance(axis, list) else axis.model_dump() for key, axis in job.axes.items()}
    identity = [job.config.digest, job.rung, axes, job.ids]
    storage = optuna.storages.RDBStorage(f"sqlite:///{(folder / 'trials.db').resolve()}")
    study = optuna.create_study(
        study_name=hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16],
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=WARMUP),
    )
    earlier = study.trials
    # a resumed search needs another seed: the same seed would draw the same settings again
    study.sampler = optuna.samplers.TPESampler(seed=job.config.seed + len(earlier), n_startup_trials=STARTUP)
    if not earlier:
        study.enqueue_trial(space.current_values(job.config.at_rung(job.rung), job.axes))
    for trial in earlier:
        if trial.state == optuna.trial.TrialState.RUNNING:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(trial.params)
    return study


def _next_number(study: optuna.Study, config: Config) -> int | None:
    """Return the number of the next trial, from 1; None if the budget is spent."""
    done = _finished_trials(study)
    spent, bound = sum(trial.seconds for trial in done), config.tune.max_seconds
    average = statistics.fmean([trial.seconds for trial in done]) if done else 0.0
    if len(done) >= config.tune.trials or (bound is not None and spent + average > bound):
        return None
    return len(done) + 1


def _finished_trials(study: optuna.Study) -> list[Trial]:
    """Return the trials that ended by themselves; a killed trial has no seconds."""
    return [_to_record(trial) for trial in study.trials if trial.state.is_finished() and "seconds" in trial.user_attrs]


def _run_trial(job: TrialJob, study: optuna.Study, trial: optuna.Trial, learned: Meter) -> None:
    """Run a trial until it completes, diverges or is pruned."""
    from optuna.trial import TrialState

    started, rows = time.monotonic(), 0
    point = {key: _suggest(trial, key, axis) for key, axis in job.axes.items()}
    config = space.config_at(job.config.at_rung(job.rung), point)
    state, value, why = TrialState.COMPLETE, None, ""
    try:
        for step, (score, rows_learned) in enumerate(_scores(config, job)):
            value, rows = score, rows + rows_learned
            learned.advance()
            if score is None:
                continue
            trial.report(score, step)
            if step < len(job.ids) - 1 and trial.should_prune():
                state = TrialState.PRUNED
                break
    except DivergedError as error:
        state, value, why = TrialState.FAIL, None, str(error)
    if state == TrialState.COMPLETE and value is None:
        state, why = TrialState.FAIL, "no validation row decides a score; raise data.split.validation"
    for key, attribute in (("rows", rows), ("why", why), ("seconds", round(time.monotonic() - started, 2))):
        trial.set_user_attr(key, attribute)
    study.tell(trial, value if state == TrialState.COMPLETE else None, state=state)


def _scores(config: Config, job: TrialJob) -> Iterator[tuple[float | None, int]]:
    """Learn the experiences in order; after each, yield the mean of the decided scores so far and the rows it took.

    The mean is None as long as no validation row decides a score.
    """
    from cl.models.inference import predict
    from cl.models.persistence import load_learner
    from cl.training.train import train

    champion: Path | None = None
    for index, experience in enumerate(job.ids):
        folder, past = job.folder / str(index), job.ids[:index]
        training = train(config, champion=champion, new=[experience], past=past, rows_of=job.rows_of, folder=folder)
        learner, scores = load_learner(folder), []
        for scored in [*past, experience]:
            rows = job.rows_of([scored], "validation")
            predictions = predict(learner, rows, precision=config.training.precision)
            values = [prediction.value for prediction in predictions]
            scores.append(learner.task.main_score(rows, values))
        known = [score for score in scores if score is not None]
        yield statistics.fmean(known) if known else None, training.rows_learnt
        champion = folder


def _suggest(trial: optuna.Trial, key: str, axis: Axis) -> Any:
    if isinstance(axis, list):
        return trial.suggest_categorical(key, axis)
    if isinstance(axis.low, int) and isinstance(axis.high, int):
        return trial.suggest_int(key, axis.low, axis.high, log=axis.log)
    return float(f"{trial.suggest_float(key, axis.low, axis.high, log=axis.log):.4g}")  # more digits are noise


def _to_record(trial: optuna.trial.FrozenTrial) -> Trial:
    steps = trial.intermediate_values
    return Trial(
        number=trial.number + 1,
        state=OPTUNA[trial.state.name],
        score=steps[max(steps)] if steps else None,
        experiences=len(steps),
        rows=trial.user_attrs.get("rows", 0),
        seconds=trial.user_attrs.get("seconds", 0.0),
        settings={
            key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in trial.params.items()
        },
        why=trial.user_attrs.get("why", ""),
    )


def _to_search(job: TrialJob, study: optuna.Study) -> Search:
    trials = _finished_trials(study)
    completed = [trial for trial in trials if trial.state == "complete"]
    if not completed:
        raise PerennialError(
            f"none of {len(trials)} trials completed within tune.trials: {job.config.tune.trials} and "
            f"tune.max_seconds: {job.config.tune.max_seconds}; raise them, or narrow tune.space"
        )
    best = max(completed, key=lambda trial: (trial.score or 0.0, -trial.seconds))
    return Search(
        rung=job.rung,
        experiences=job.ids,
        trials=trials,
        best=best,
        fragment=space.config_fragment(job.config, job.rung, best.settings),
    )
