"""The context of a cycle: configuration, stores, identity, champion, and the experiences to learn."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import ParamSpec, TypeVar

from cl.compression.budget import compression_reasons, updates_since
from cl.config import Config
from cl.cycle.backlog import waiting_experiences
from cl.cycle.compress import CompressionContext, Judged
from cl.cycle.cost import update_sizes
from cl.cycle.identity import CycleStart, journal_folder, resume_or_begin
from cl.cycle.ladder import Climb
from cl.decision.decide import change_types
from cl.decision.situation import Situation, assess_situation
from cl.evaluation.choose_tests import choose_tests
from cl.evaluation.evaluate import HeldOut
from cl.evaluation.out_of_scope import read_texts
from cl.evaluation.text_files import read_general
from cl.records import Challenger, Decision, Drift, Experience, Record, VersionInfo
from cl.records.history import History
from cl.registry.lineage import LocalVersion, ancestry, cycles_in_line, extend_with_compressed, find_base, local_version
from cl.registry.register import NewVersion, describe_machine, package_versions
from cl.registry.tagger import TaggerVersion, fetch_tagger, load_finder
from cl.stores.data.correction_records import count_replaced, read_corrections
from cl.stores.data.experiences import RowsOf
from cl.stores.data.removal import BASELINE_FEATURES
from cl.stores.journal import Executor, Journal, inline
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import Stores
from cl.training.baseline_rows import LearnedExperiences
from cl.training.baselines import score_baselines
from cl.training.corrected_start import corrected_start

P = ParamSpec("P")
R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class CycleContext:
    """The context of a cycle.

    ``champion`` is the version that serves, ``base`` the one that the update is trained from, ``new`` are the ids of
    the experiences to learn, oldest first, and ``run`` is the cycle's MLflow run. ``asked``: a person has requested
    this experience. ``tagger`` is the version that finds spans, where there is one.
    """

    config: Config
    stores: Stores
    experience: Experience
    start: CycleStart
    run: str
    champion: LocalVersion
    base: LocalVersion
    new: tuple[str, ...]
    out_of_scope_texts: tuple[str, ...]
    general_texts: tuple[str, ...]
    asked: bool
    journal: Journal
    executor: Executor
    tagger: TaggerVersion | None = None
    clock: float = field(default_factory=time.monotonic)

    def step(self, stage: Callable[P, R]) -> Callable[P, R]:
        """Return a stage as a step of this cycle; if it has finished before, its record is read from the journal."""
        return self.journal.once(stage, self.executor)

    @property
    def rows_of(self) -> RowsOf:
        """The function that returns the rows of experiences (ids, split)."""
        return self.stores.experiences.rows_of

    def count_rows(self, ids: list[str]) -> int:
        """Return how many training and validation rows some experiences have."""
        records = map(self.stores.experiences.get, ids)
        return sum(record.rows["train"] + record.rows["validation"] for record in records)

    @cached_property
    def training_start(self) -> Path | None:
        """The folder that an update is trained from: the base without rows that were corrected since; None: no base."""
        if self.base.folder is None:
            return None
        folder = self.journal.folder / "corrected"
        start = self.step(corrected_start)(
            self.config,
            self.base.folder,
            learnt=self.base.history.learnt,
            since=self.base.history.corrections,
            project=self.stores.project,
            folder=folder,
        )
        return Path(start.folder)

    @property
    def learnt(self) -> list[str]:
        """The experiences that the challenger will have learned, oldest first."""
        return [*self.base.history.learnt, *self.new]

    @cached_property
    def held_out(self) -> HeldOut:
        """What a challenger is evaluated on, with the baselines' scores, which are the same for every rung."""
        journal = self.journal.part("baselines")
        scores, most = self.champion.history.scores, self.config.evaluation.max_rows
        records = {id: self.stores.experiences.get(id) for id in self.learnt}
        sizes = {id: record.rows["test"] for id, record in records.items()}
        chosen = choose_tests(self.learnt, self.rows_of, scores, most, sizes)
        digests = {id: record.digest for id, record in records.items()}
        baselines = journal.once(score_baselines, self.executor)(
            self.config,
            LearnedExperiences(self.learnt, digests),
            self.rows_of,
            chosen.rows,
            journal.folder,
            kept=self.stores.project.work / BASELINE_FEATURES,
        )
        texts, general = self.out_of_scope_texts, self.general_texts
        finder = load_finder(self.tagger, self.config.pipeline) if self.tagger else None
        return HeldOut(
            self.learnt, scores, self.rows_of, texts, general, baselines=baselines, chosen=chosen, finder=finder
        )

    @cached_property
    def champion_answers(self) -> Path | None:
        """What the champion answered when it was a challenger, on this machine and with these packages, if it is known.

        None: it is asked again.
        """
        history, runs = self.champion.history, self.stores.registry.runs
        if self.champion.version is None or history.machine != describe_machine():
            return None
        run = runs.past.run_of_version(self.champion.version) if history.packages == package_versions() else None
        self.journal.folder.mkdir(parents=True, exist_ok=True)
        return runs.evaluated_in(run, self.journal.folder) if run else None

    @cached_property
    def versions(self) -> list[VersionInfo]:
        """The registry's versions at the time of the decision."""
        return self.stores.registry.versions()

    @cached_property
    def situation(self) -> Situation:
        """What the decision depends on in addition to drift."""
        waiting = [self.stores.experiences.get(id) for id in self.new]
        line = extend_with_compressed(ancestry(self.champion.version, self.versions), self.versions)
        history = self.champion.history
        return assess_situation(
            cycles_in_line(self.stores.registry.runs.past.newest_first(), line),
            waiting,
            first=self.champion.version is None,
            now=datetime.now(UTC),
            budget_days=self.config.decide.budget_days,
            asked=self.asked and self.experience.id not in history.learnt,
            champion=history,
            corrected=count_corrected(self.stores.project, history),
            unmeasured=self.stores.experiences.are_descriptions(history.learnt),
        )

    @property
    def ladder(self) -> Config:
        """The configuration that an update climbs by: without a validation row, nothing could compare rungs."""
        if any(self.stores.experiences.get(id).rows["validation"] for id in self.learnt):
            return self.config
        return self.config.model_copy(update={"climb": self.config.climb.model_copy(update={"pick": "first"})})

    def climb(self, drift: Drift, decision: Decision) -> Climb:
        """Return where the update begins to climb the ladder, and what is known about the cost."""
        return Climb(
            begin=decision.rung,
            types=change_types(drift, self.situation),
            sizes=update_sizes(self.stores.experiences, self.base.folder, new=self.new, past=self.base.history.learnt),
            past=self.situation.climbs,
        )

    def new_version(self, challenger: Challenger, decision: Decision) -> NewVersion:
        """Return a challenger as the new registry version to be registered, and the decision that made it."""
        return NewVersion(
            cycle=self.start.id,
            run=self.run,
            parent=self.base,
            compared=self.champion.version,
            data_version=self.start.data_version,
            challenger=challenger,
            scores=self.champion.history.scores,
            corrections=len(read_corrections(self.stores.project)),
            why=decision.reasons,
        )

    def reasons_to_compress(self, version: Judged) -> list[str]:
        """Return why a challenger should be compressed; []: it should not."""
        return compression_reasons(
            self.config,
            version.challenger.evaluation,
            version.challenger.gates,
            champion=self.champion.history,
            updates=updates_since(self.champion.version, self.versions),
        )

    @property
    def compression(self) -> CompressionContext:
        """What compressed versions are compared with and registered under."""
        return CompressionContext(
            config=self.config,
            stores=self.stores,
            cycle=self.start.id,
            champion=self.champion,
            held_out=self.held_out,
            data_version=self.start.data_version,
            journal=self.journal,
            executor=self.executor,
        )


def open_cycle(
    config: Config, stores: Stores, experience: Experience, *, asked: bool = False, executor: Executor = inline
) -> CycleContext:
    """Begin a cycle, or resume one that was killed, and return its context.

    Args:
        config: the project's configuration.
        stores: the project's stores.
        experience: an ingested experience.
        asked: a person has requested this experience; it is learned unless the champion has learned it already.
        executor: how a stage is run.
    """
    tagger = fetch_tagger(config, stores)  # first: what is wrong with it is wrong before anything is trained
    start = resume_or_begin(config, stores, experience)
    tags = {"cl.data_version": start.data_version, "cl.champion_before": start.champion or ""}
    run = stores.registry.runs.start_run(start.id, experience.id, tags)
    champion = local_version(stores, start.champion)
    base = find_base(stores, champion, then=config.distil.then)
    again = [id for id in champion.history.learnt if id not in base.history.learnt]
    before = [id for id in [*again, *waiting_experiences(stores, champion.history)] if id != experience.id]
    return CycleContext(
        config=config,
        stores=stores,
        experience=experience,
        start=start,
        run=run,
        champion=champion,
        base=base,
        new=(*before, experience.id),
        out_of_scope_texts=tuple(read_texts(config.evaluation.out_of_scope, stores.project.root)),
        general_texts=tuple(read_general(config.evaluation.general_rows, stores.project.root)),
        asked=asked,
        journal=Journal(journal_folder(stores) / start.id, stores.project.root),
        executor=executor,
        tagger=tagger,
    )


def count_corrected(project: ProjectFolder, champion: History) -> int:
    """Return how many rows that the champion has learned were corrected since."""
    replaced = count_replaced(read_corrections(project)[champion.corrections :])
    return sum(rows for experience, rows in replaced.items() if experience in champion.learnt)
