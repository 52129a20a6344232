"""One run of a backtest: one strategy, policy and seed over the whole stream, in a process of its own."""

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
from cl.records import DriftType, LadderResult, Record, Validation
from cl.stores.data.experiences import Experiences, RowsOf
from cl.stores.project_folder import ProjectFolder

Policy = Literal["always", "first", "last", "drift"]


class RunSpec(Record):
    """What a run is, and where it lives; with the same values it has the same results."""

    label: str
    policy: Policy = Field(
        description="always: learn every experience; first: the first alone; last: the first, and all others at once "
        "in the end; drift: when the decision stage says so"
    )
    config: dict[str, Any] = Field(description="The configuration, with the run's strategy and seed")
    stream: str = Field(description="Folder that holds the ingested stream")
    experiences: list[str]
    folder: str
    threads: int | None = Field(default=None, description="Processor threads; None: torch's own choice")

    @property
    def seed(self) -> int:
        """What its chance comes from."""
        return int(self.config["seed"])

    @property
    def strategies(self) -> list[str]:
        """The names of its strategies, whatever its label says."""
        specs = self.config["strategy"] if isinstance(self.config["strategy"], list) else [self.config["strategy"]]
        return [spec if isinstance(spec, str) else spec["name"] for spec in specs]

    @property
    def lines(self) -> Path:
        """One JSON line for each experience that is done."""
        return Path(self.folder) / "experiences.jsonl"


class Line(Record):
    """What one experience brought: scores on every experience of the stream, and what it cost."""

    experience: str
    scores: list[float]
    classes: dict[str, float] = Field(description="Score of each class, over all tests so far")
    learnt: list[str] = Field(description="Experiences that were learnt now: none, this one, or quiet ones with it")
    seconds: float = Field(description="Of learning alone, as if nothing had been shared with other runs")
    scoring_seconds: float
    rows_trained: int = Field(description="Each row counts as often as it was learnt")
    forward_rows: int
    backward_rows: int
    peak_memory_mb: float = Field(description="Of the process, in the machine's own memory")
    peak_gpu_memory_mb: float | None = Field(default=None, description="Of tensors on the GPU; None: there is none")
    bytes_kept: int = Field(
        description="What the strategy carries to the next experience: its state, and the past itself where it asks "
        "for all of it"
    )
    version_bytes: int
    climb: LadderResult | None = Field(
        default=None, description="The rungs that were tried, where the ladder was climbed"
    )


class Outcome(Record):
    """How a run ended."""

    spec: RunSpec
    lines: list[Line]
    failure: str | None = None
    traceback: str | None = Field(default=None, description="Of a failure that nobody foresaw")


def run(spec: RunSpec) -> Outcome:
    """Go through the stream from where an earlier process stopped; a failure is told, not raised."""
    if spec.threads:
        os.environ["OMP_NUM_THREADS"] = str(spec.threads)
    import torch

    if spec.threads:
        torch.set_num_threads(spec.threads)
    lines: list[Line] = []
    try:
        config = parse(spec.config, where="backtest")
        lines = read_finished(spec)
        for at in range(len(lines), len(spec.experiences)):
            lines.append(_one(config, spec, lines))
            _append(spec.lines, lines[-1])
            _keep_only(Path(spec.folder) / "versions", at)
    except PerennialError as error:
        return Outcome(spec=spec, lines=lines, failure=str(error))
    except Exception as error:  # whatever it is, it must not take the other runs' results with it
        why = textwrap.shorten(f"{type(error).__name__}: {error}", 300, placeholder=" ...")
        why += "; `cl -v backtest ...` shows where, --fresh begins anew"
        return Outcome(spec=spec, lines=lines, failure=why, traceback=traceback.format_exc())
    return Outcome(spec=spec, lines=lines)


def read_finished(spec: RunSpec) -> list[Line]:
    """Return what an earlier process finished; a line that was cut off counts for nothing."""
    if not spec.lines.exists():
        return []
    lines = []
    for text in spec.lines.read_text(encoding="utf-8").splitlines(keepends=True):
        if not text.endswith("\n"):
            break
        lines.append(Line.model_validate_json(text))
    spec.lines.write_text("".join(one.model_dump_json() + "\n" for one in lines), encoding="utf-8")
    return lines


def _one(config: Config, spec: RunSpec, lines: list[Line]) -> Line:
    from cl.backtesting.cost import count_passes, folder_bytes, peak_gpu_memory_mb, peak_memory_mb
    from cl.models.feature_cache import cached_in

    at, started = len(lines), time.monotonic()
    folder = Path(spec.folder) / "versions" / str(at)
    stream = Experiences(ProjectFolder(Path(spec.stream)))
    with cached_in(Path(spec.stream) / "features.sqlite", run=Path(spec.folder).name, step=at) as cache:
        with count_passes() as passes:
            new, trained, way = _learn(config, spec, lines, folder, stream)
        learnt, memory, on_gpu = time.monotonic(), peak_memory_mb(), peak_gpu_memory_mb()
        spared_seconds, spared_rows = cache.saved_seconds + cache.tokens.saved_seconds, cache.saved_rows
        scores, classes = _scores(config, folder, stream.rows_of, spec.experiences, upto=at)
    past = [*(one for line in lines for one in line.learnt), *new] if _keeps_past(config) else []
    return Line(
        experience=spec.experiences[at],
        scores=scores,
        classes=classes,
        learnt=new,
        seconds=learnt - started + spared_seconds,
        scoring_seconds=time.monotonic() - learnt,
        rows_trained=trained,
        forward_rows=passes.forward + spared_rows,
        backward_rows=passes.backward,
        peak_memory_mb=memory,
        peak_gpu_memory_mb=on_gpu,
        bytes_kept=folder_bytes(folder / "strategies") + sum(stream.size(one, "train") for one in past),
        version_bytes=folder_bytes(folder),
        climb=way,
    )


def _keeps_past(config: Config) -> bool:
    """Tell whether the past has to be kept whole: a rung trains on all of it."""
    rungs = [config.at_rung(rung.name) for rung in config.ladder] or [config]
    return any(one.keeps_past for rung in rungs for one in rung.built)


def _learn(
    config: Config, spec: RunSpec, lines: list[Line], folder: Path, stream: Experiences
) -> tuple[list[str], int, LadderResult | None]:
    """Make the version that follows an experience; return what was learnt, how many rows that took, and the climb."""
    from cl.backtesting.compression import compress, learner_of
    from cl.training.train import train

    before = folder.with_name(str(len(lines) - 1))
    past = [one for line in lines for one in line.learnt]
    new, types, rung = _wanted(config, spec, lines, past, before, stream)
    if not new:
        shutil.copytree(before, folder, dirs_exist_ok=True)
        return [], 0, None
    champion = learner_of(before) if lines else None
    if config.ladder:
        from cl.backtesting.ladder import RungLesson, climb_stream

        lesson = RungLesson(new, past, champion, types, rung)
        way = climb_stream(config, lesson, past=_climbs(lines), stream=stream, folder=folder)
        learnt = new if way.passed or champion is None else []
        if learnt and spec.policy == "drift":
            _save_reference(config, stream.rows_of, folder, past + new)
        return learnt, sum(one.rows for one in way.begun), way
    done = train(config, champion=champion, new=new, past=past, rows_of=stream.rows_of, folder=folder)
    updates = 1 + sum(bool(line.learnt) for line in lines)
    taught = compress(config, folder, updates=updates, learnt=[*past, *new], rows_of=stream.rows_of)
    if spec.policy == "drift":
        _save_reference(config, stream.rows_of, folder, past + new)
    return new, done.rows_learnt + taught, None


def _climbs(lines: list[Line]) -> list[LadderResult]:
    return [line.climb for line in lines if line.climb]


def _wanted(
    config: Config, spec: RunSpec, lines: list[Line], past: list[str], champion: Path, stream: Experiences
) -> tuple[list[str], list[DriftType], str | None]:
    """Return the experiences to learn now, as the policy has it; what has drifted, and the rung to begin with."""
    from cl.decision.decide import decide
    from cl.decision.situation import Situation
    from cl.drift.detect import detect_drift

    at = len(lines)
    if spec.policy == "always" or at == 0:
        return [spec.experiences[at]], [], None
    waiting = [one for one in spec.experiences[: at + 1] if one not in past]
    if spec.policy == "first":
        return [], [], None
    if spec.policy == "last":
        return (waiting if at == len(spec.experiences) - 1 else []), [], None
    seen = detect_drift(config, experience=waiting[-1], champion=champion, rows=stream, folder=champion, check=at)
    rows = sum(stream.get(one).rows["train"] for one in waiting)
    situation = Situation(waiting_rows=rows, climbs=tuple(_climbs(lines)))
    decision = decide(config, Validation(passed=True), seen, situation)
    return (waiting if decision.action == "learn" else []), seen.types, decision.rung


def _save_reference(config: Config, rows_of: RowsOf, folder: Path, learnt: list[str]) -> None:
    """Complete a version with what the next experience is compared with."""
    from cl.models.snapshot import save_reference
    from cl.records.history import History
    from cl.registry.register import drift_reference
    from cl.stores.version_folder import load_history, save_history

    reference = drift_reference(config, rows_of, folder, learnt)
    save_reference(reference, folder)
    matrix = load_history(folder).matrix if (folder / "history.json").exists() else {}  # of a climb's validation rows
    save_history(History(learnt=learnt, matrix=matrix, score=float(reference.frame["score"].mean())), folder)


def _scores(
    config: Config, folder: Path, rows_of: RowsOf, experiences: list[str], *, upto: int
) -> tuple[list[float], dict[str, float]]:
    """Return the score on every experience, those to come as well, and of every class in the tests so far."""
    from cl.models.inference import predict
    from cl.models.persistence import load_learner

    learner = load_learner(folder)
    tests = [rows_of([one], "test") for one in experiences]
    found = iter(predict(learner, pd.concat(tests, ignore_index=True), precision=config.training.precision))
    values = [[prediction.value for prediction in itertools.islice(found, len(test))] for test in tests]
    scores = [learner.task.score(test, own)[learner.task.metric] for test, own in zip(tests, values, strict=True)]
    so_far, answers = pd.concat(tests[: upto + 1], ignore_index=True), list(itertools.chain(*values[: upto + 1]))
    return scores, learner.task.class_scores(so_far, answers)


def _append(path: Path, line: Line) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(line.model_dump_json() + "\n")
        file.flush()
        os.fsync(file.fileno())


def _keep_only(versions: Path, at: int) -> None:
    """Delete the versions before the newest; the line that needed them is written."""
    for folder in versions.iterdir():
        if folder.name != str(at):
            shutil.rmtree(folder)


def run_identity(config: Config, policy: str, stream: str, experiences: list[str], *, versions: dict[str, str]) -> str:
    """Return a short digest of all that decides a run's results, the versions of what computes them included."""
    import hashlib

    text = json.dumps([config.digest, policy, stream, experiences, versions], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def computing_versions() -> dict[str, str]:
    """Return the versions of this library and of those whose numbers may differ from one release to the next."""
    return {"perennial": __version__, **{name: metadata.version(name) for name in ("torch", "transformers")}}
