"""One run of a backtest: one strategy, policy and seed over the whole stream, in its own process."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import textwrap
import time
import traceback
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field

from cl import __version__
from cl.config import Config, parse
from cl.errors import PerennialError
from cl.extras import DISTRIBUTION
from cl.process.processors import thread_count
from cl.records import DriftType, LadderResult, Record, Validation
from cl.stores.data.experiences import Experiences, RowsOf
from cl.stores.project_folder import ProjectFolder

Policy = Literal["always", "first", "last", "drift"]


class RunSpec(Record):
    """The definition of a run and its folder; equal specs give equal results."""

    label: str
    policy: Policy = Field(
        description="always: learn every experience; first: only the first; last: the first, and all others together "
        "at the end; drift: when the decision stage says so"
    )
    config: dict[str, Any] = Field(description="The configuration, with the run's strategy and seed")
    stream: str = Field(description="Folder of the ingested stream")
    experiences: list[str]
    folder: str
    threads: int | None = Field(default=None, description="CPU threads; None: torch's default")

    @property
    def seed(self) -> int:
        """The random seed."""
        return int(self.config["seed"])

    @property
    def strategies(self) -> list[str]:
        """The names of its strategies, regardless of its label."""
        specs = self.config["strategy"] if isinstance(self.config["strategy"], list) else [self.config["strategy"]]
        return [spec if isinstance(spec, str) else spec["name"] for spec in specs]

    @property
    def lines(self) -> Path:
        """The file with one JSON line per finished experience."""
        return Path(self.folder) / "experiences.jsonl"


class Line(Record):
    """The result of one experience: scores on every experience of the stream, and costs."""

    experience: str
    scores: list[float | None]
    classes: dict[str, float] = Field(description="Score of each class, over all tests so far")
    learnt: list[str] = Field(description="Experiences learned now: none, this one, or also earlier ones that waited")
    seconds: float = Field(description="Training time only, as if no features were shared with other runs")
    scoring_seconds: float
    cpu_seconds: float = Field(description="Processor time of learning and scoring, on all cores")
    rows_trained: int = Field(description="Rows trained on, over all epochs")
    forward_rows: int
    backward_rows: int
    peak_memory_mb: float = Field(description="Peak main memory of the process")
    peak_gpu_memory_mb: float | None = Field(default=None, description="Of tensors on the GPU; None: no GPU")
    bytes_kept: int = Field(
        description="What the strategy keeps for the next experience: its state, and all past rows if it needs them"
    )
    version_bytes: int
    climb: LadderResult | None = Field(
        default=None, description="The rungs that were tried; None: no ladder was climbed"
    )


class Outcome(Record):
    """The outcome of a run."""

    spec: RunSpec
    lines: list[Line]
    failure: str | None = None
    traceback: str | None = Field(default=None, description="Of an unexpected failure")


def run(spec: RunSpec) -> Outcome:
    """Replay the stream from where an earlier process stopped; a failure is returned, not raised."""
    with thread_count(spec.threads):
        return _replay(spec)


def _replay(spec: RunSpec) -> Outcome:
    lines: list[Line] = []
    try:
        config = parse(spec.config, where="backtest")
        lines = read_finished(spec)
        for step in range(len(lines), len(spec.experiences)):
            lines.append(_run_step(config, spec, lines))
            _append_line(spec.lines, lines[-1])
            _delete_older(Path(spec.folder) / "versions", step)
    except PerennialError as error:
        return Outcome(spec=spec, lines=lines, failure=str(error))
    except Exception as error:  # an unexpected error must not lose the other runs' results
        why = textwrap.shorten(f"{type(error).__name__}: {error}", 300, placeholder=" ...")
        why += "; `cl -v backtest ...` shows the traceback, --fresh starts over"
        return Outcome(spec=spec, lines=lines, failure=why, traceback=traceback.format_exc())
    return Outcome(spec=spec, lines=lines)


def read_finished(spec: RunSpec) -> list[Line]:
    """Return what an earlier process finished; a truncated last line is dropped."""
    if not spec.lines.exists():
        return []
    lines = []
    for text in spec.lines.read_text(encoding="utf-8").splitlines(keepends=True):
        if not text.endswith("\n"):
            break
        lines.append(Line.model_validate_json(text))
    spec.lines.write_text("".join(line.model_dump_json() + "\n" for line in lines), encoding="utf-8")
    return lines


def _run_step(config: Config, spec: RunSpec, lines: list[Line]) -> Line:
    from cl.backtesting.cost import count_passes, folder_bytes, peak_gpu_memory_mb, peak_memory_mb
    from cl.models.feature_cache import cached_in

    step, started, cpu = len(lines), time.monotonic(), time.process_time()
    folder = Path(spec.folder) / "versions" / str(step)
    stream = Experiences(ProjectFolder(Path(spec.stream)))
    with cached_in(Path(spec.stream) / "features.sqlite", run=Path(spec.folder).name, step=step) as cache:
        with count_passes() as passes:
            new, trained, climb = _learn(config, spec, lines, folder, stream)
        trained_at, memory, on_gpu = time.monotonic(), peak_memory_mb(), peak_gpu_memory_mb()
        spared_seconds = cache.saved_seconds + cache.tokens.saved_seconds + cache.token_files.saved_seconds
        spared_rows = cache.saved_rows
        scores, classes = _score_version(config, folder, stream.rows_of, spec.experiences, upto=step)
    past = [*(experience for line in lines for experience in line.learnt), *new] if _keeps_past(config) else []
    return Line(
        experience=spec.experiences[step],
        scores=scores,
        classes=classes,
        learnt=new,
        seconds=trained_at - started + spared_seconds,
        scoring_seconds=time.monotonic() - trained_at,
        cpu_seconds=time.process_time() - cpu,
        rows_trained=trained,
        forward_rows=passes.forward + spared_rows,
        backward_rows=passes.backward,
        peak_memory_mb=memory,
        peak_gpu_memory_mb=on_gpu,
        bytes_kept=folder_bytes(folder / "strategies") + sum(stream.size(experience, "train") for experience in past),
        version_bytes=folder_bytes(folder),
        climb=climb,
    )


def _keeps_past(config: Config) -> bool:
    """Return whether all past rows must be kept because a rung trains on them."""
    rungs = [config.at_rung(rung.name) for rung in config.ladder] or [config]
    return any(_reads_past(rung) for rung in rungs)


def _reads_past(config: Config) -> bool:
    if solver := config.closed_form:
        return bool(solver.adapts_always)
    return any(strategy.keeps_past for strategy in config.built_strategies)


def _learn(
    config: Config, spec: RunSpec, lines: list[Line], folder: Path, stream: Experiences
) -> tuple[list[str], int, LadderResult | None]:
    """Make the version after an experience; return the experiences learned, the rows trained on, and the climb."""
    from cl.backtesting.compression import compress, learner_of
    from cl.training.train import train

    before = folder.with_name(str(len(lines) - 1))
    past = [experience for line in lines for experience in line.learnt]
    new, types, rung = _choose_experiences(config, spec, lines, past, before, stream)
    if not new:
        shutil.copytree(before, folder, dirs_exist_ok=True)
        return [], 0, None
    champion = learner_of(before) if lines else None
    if config.ladder:
        from cl.backtesting.ladder import RungLesson, climb_stream

        lesson = RungLesson(new, past, champion, types, rung)
        climb = climb_stream(config, lesson, past=_climbs(lines), stream=stream, folder=folder)
        learned = new if climb.passed or champion is None else []
        if learned and spec.policy == "drift":
            _save_reference(config, stream.rows_of, folder, past + new)
        return learned, sum(rung_result.rows for rung_result in climb.begun), climb
    done = train(config, champion=champion, new=new, past=past, rows_of=stream.rows_of, folder=folder)
    updates = 1 + sum(bool(line.learnt) for line in lines)
    taught = compress(config, folder, updates=updates, learnt=[*past, *new], rows_of=stream.rows_of)
    if spec.policy == "drift":
        _save_reference(config, stream.rows_of, folder, past + new)
    return new, done.rows_learnt + taught, None


def _climbs(lines: list[Line]) -> list[LadderResult]:
    return [line.climb for line in lines if line.climb]


def _choose_experiences(
    config: Config, spec: RunSpec, lines: list[Line], past: list[str], champion: Path, stream: Experiences
) -> tuple[list[str], list[DriftType], str | None]:
    """Return the experiences to learn now under the policy, the types of drift, and the rung to begin with."""
    from cl.decision.decide import decide
    from cl.decision.situation import Situation
    from cl.drift.detect import detect_drift
    from cl.training.gain import estimate_gain

    step = len(lines)
    if spec.policy == "always" or step == 0:
        return [spec.experiences[step]], [], None
    waiting = [experience for experience in spec.experiences[: step + 1] if experience not in past]
    if spec.policy == "first":
        return [], [], None
    if spec.policy == "last":
        return (waiting if step == len(spec.experiences) - 1 else []), [], None
    drift = detect_drift(config, experience=waiting[-1], champion=champion, rows=stream, folder=champion, check=step)
    rows = sum(stream.get(experience).rows["train"] for experience in waiting)
    gain = estimate_gain(config, champion, past, waiting, stream.rows_of)
    situation = Situation(waiting_rows=rows, climbs=tuple(_climbs(lines)), gain=gain)
    decision = decide(config, Validation(passed=True), drift, situation)
    return (waiting if decision.action == "learn" else []), drift.types, decision.rung


def _save_reference(config: Config, rows_of: RowsOf, folder: Path, learned: list[str]) -> None:
    """Save the version's drift reference and history, which the next experience is compared with."""
    from cl.models.snapshot import save_reference
    from cl.records.history import History
    from cl.registry.register import drift_reference
    from cl.stores.version_folder import load_history, save_history

    reference = drift_reference(config, rows_of, folder, learned)
    save_reference(reference, folder)
    known = load_history(folder) if (folder / "history.json").exists() else History()  # from a climb's validation rows
    save_history(History(learnt=learned, scores=known.scores, score=float(reference.frame["score"].mean())), folder)


def _score_version(
    config: Config, folder: Path, rows_of: RowsOf, experiences: list[str], *, upto: int
) -> tuple[list[float | None], dict[str, float]]:
    """Return the score on every experience, including future ones, and of every class in the tests so far.

    A score that the test rows cannot decide is None.
    """
    from cl.models.inference import predict
    from cl.models.persistence import load_learner

    learner = load_learner(folder)
    tests = [rows_of([experience], "test") for experience in experiences]
    predictions = iter(predict(learner, pd.concat(tests, ignore_index=True), precision=config.training.precision))
    values = [[prediction.value for prediction in itertools.islice(predictions, len(test))] for test in tests]
    scores = [learner.task.main_score(test, own) for test, own in zip(tests, values, strict=True)]
    so_far, answers = pd.concat(tests[: upto + 1], ignore_index=True), list(itertools.chain(*values[: upto + 1]))
    return scores, learner.task.class_scores(so_far, answers)


def _append_line(path: Path, line: Line) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(line.model_dump_json() + "\n")
        file.flush()
        os.fsync(file.fileno())


def _delete_older(versions: Path, newest: int) -> None:
    """Delete all versions but the newest; the line that needed them has been written."""
    for folder in versions.iterdir():
        if folder.name != str(newest):
            shutil.rmtree(folder)


def run_identity(config: Config, policy: str, stream: str, experiences: list[str], *, versions: dict[str, str]) -> str:
    """Return a short digest of everything that decides a run's results, including library versions."""
    import hashlib

    text = json.dumps([config.digest, policy, stream, experiences, versions], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def computing_versions() -> dict[str, str]:
    """Return the versions of Perennial, torch and transformers, whose releases may change the numbers."""
    return {DISTRIBUTION: __version__, **{name: metadata.version(name) for name in ("torch", "transformers")}}
