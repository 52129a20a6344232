"""Evaluate a challenger and the champion on the test rows of every experience so far."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cl import plugins
from cl.config import Config
from cl.evaluation.answer_faults import find_faults, measure_faults, measure_length
from cl.evaluation.best_so_far import add_best, load_best
from cl.evaluation.choose_tests import ChosenTests, choose_tests, choose_written, draw_by_hash
from cl.evaluation.compare_together import compare_together, store_counts
from cl.evaluation.early_signs import measure_divergence, measure_general
from cl.evaluation.end_to_end import find_pairs, score_end_to_end
from cl.evaluation.likelihood import measure_likelihood
from cl.evaluation.measurements import CHALLENGER, CHAMPION, CONFIDENCE, measure
from cl.models.generation import write
from cl.models.inference import Answering, answer
from cl.models.learner import Learner
from cl.models.pairs import PairFinder
from cl.models.persistence import load_learner
from cl.process.progress import meter
from cl.records import Baselines, Control, ControlArm, Evaluation, Score
from cl.records.evaluation import decided, mean_score
from cl.records.past_scores import PastScores
from cl.stores.data.experiences import RowsOf
from cl.tasks import Capability, Prediction, RatedText, Task

CLASSES = "classes.csv"
"""The file with the scores of each class."""


@dataclass(frozen=True)
class Candidates:
    """What is evaluated: the folders of challenger and champion (None for a first model), and the control arm.

    ``answered`` is a Parquet file with what the champion answered when it was the challenger, as `evaluate` has stored
    it; None: it is asked again.
    """

    challenger: Path
    champion: Path | None = None
    control: ControlArm | None = None
    answered: Path | None = None


@dataclass(frozen=True)
class HeldOut:
    """What the candidates are evaluated on.

    ``experiences`` are the ids of all experiences so far, newest last; ``scores`` are what they scored up to the
    champion; ``rows_of`` returns the rows of experiences (ids, split); no label fits the ``out_of_scope_texts``; on the
    ``general_texts``, a language model's likelihood is measured.
    ``answering`` returns, for a version's folder and learner, how it answers rows that it may have learned; None: it
    has learned none of them. ``baselines`` are the scores of the simplest models on the same rows, the ``chosen`` ones.
    ``finder`` finds the pairs of spans in their texts, for the end-to-end score; None: there is no tagger.
    """

    experiences: Sequence[str]
    scores: PastScores
    rows_of: RowsOf
    out_of_scope_texts: Sequence[str] = ()
    general_texts: Sequence[str] = ()
    answering: Callable[[Path, Learner], Answering] | None = None
    baselines: Baselines = field(default_factory=Baselines)
    chosen: ChosenTests | None = None
    finder: PairFinder | None = None

    @property
    def new(self) -> list[str]:
        """The experiences that were never tested before; where all were, the newest."""
        return [id for id in self.experiences if id not in self.scores.of] or [self.experiences[-1]]

    def tests(self, config: Config) -> ChosenTests:
        """Return the test rows: those that were ``chosen`` before, or as many as the configuration allows."""
        most = config.evaluation.max_rows
        return self.chosen or choose_tests(self.experiences, self.rows_of, self.scores, most)


def evaluate(config: Config, candidates: Candidates, held_out: HeldOut, *, folder: Path) -> Evaluation:
    """Score both models on the same rows, take all other measurements, and store every row's prediction.

    Args:
        config: the seed, the task and what to measure.
        candidates: the models.
        held_out: the rows.
        folder: where predictions.parquet is written.
    """
    chosen = held_out.tests(config)
    tests, every = scored_rows(config, chosen.rows), pd.concat(chosen.rows.values(), ignore_index=True)
    folders = {CHALLENGER: candidates.challenger}
    if candidates.champion is not None:
        folders[CHAMPION] = candidates.champion
    stored = pd.read_parquet(candidates.answered) if candidates.answered and not held_out.answering else None
    answers = {
        who: answer_tests(path, tests, held_out.answering, stored=stored if who == CHAMPION else None)
        for who, path in folders.items()
    }
    task = answers[CHALLENGER].learner.task
    if task.reads_answers and not task.measures_texts:
        answers[CHALLENGER] = _write_few(answers[CHALLENGER], tests, config.evaluation.smoke_rows)
    now, before = answers[CHALLENGER].scores, answers[CHAMPION].scores if CHAMPION in answers else []
    newest = held_out.experiences[-1]
    row, past = decided(now), held_out.scores
    earlier_best = load_best(candidates.champion) if candidates.champion else None
    table = add_best(_build_table(tests, answers, config.columns_of_gates), earlier_best)
    table = _add_baseline(table, held_out.baselines)
    predictions = folder / "predictions.parquet"
    table.to_parquet(predictions, index=False)
    per_class = answers[CHALLENGER].per_class(tests)
    pd.DataFrame.from_dict(per_class, orient="index").rename_axis("class").to_csv(folder / CLASSES)
    learners = {who: model.learner for who, model in answers.items()}
    numbers = measure(config, learners, folders, tests.together, table, held_out.out_of_scope_texts)
    if held_out.finder is not None:
        paired = find_pairs(held_out.finder, tests.together, learners[CHALLENGER].task.schema)
        for who, learner in learners.items():
            numbers[who] |= score_end_to_end(learner, tests.together, paired)
    for who, learner in learners.items():
        numbers[who] |= measure_likelihood(learner, every) | measure_general(learner, held_out.general_texts)
        numbers[who] |= measure_faults(table, who) | measure_length(table, who)
    if CHAMPION in learners:
        new = [chosen.rows[id] for id in held_out.new if id in chosen.rows]
        numbers[CHALLENGER] |= measure_divergence(learners[CHAMPION], learners[CHALLENGER], new)
    control = _measure_control(candidates.control, tests, now) if candidates.control is not None else None
    return Evaluation(
        metric=task.score_name,
        challenger=now,
        champion=before,
        accuracy=mean_score(now),
        champion_accuracy=mean_score(before),
        backward_transfer=past.backward_transfer(newest, row),
        forgetting=past.forgetting(newest, row, champion=decided(before)),
        **past.describe(newest, row),
        tested_later=len(chosen.later),
        calibration_error=numbers[CHALLENGER].get("ece"),
        latency_ms=numbers[CHALLENGER].get("latency_p50_ms"),
        size_mb=numbers[CHALLENGER]["size_mb"],
        numbers={
            **numbers[CHALLENGER],
            **(control.numbers if control else {}),
            **_compare(mean_score(now), held_out.baselines),
        },
        champion_numbers=numbers.get(CHAMPION, {}),
        comparisons=compare_together(table, seed=config.seed),
        per_class=per_class,
        champion_per_class=answers[CHAMPION].per_class(tests) if CHAMPION in answers else {},
        report=answers[CHALLENGER].report(tests),
        untested_classes=answers[CHALLENGER].untested_classes(per_class),
        baselines=held_out.baselines,
        control=control,
        tagger=held_out.finder.tagger if held_out.finder else None,
        predictions=str(predictions),
    )


@dataclass(frozen=True)
class EvaluationRows:
    """The test rows of each experience, and all of them ``together``, in the same order."""

    of: dict[str, pd.DataFrame]
    together: pd.DataFrame

    @classmethod
    def of_experiences(cls, rows: dict[str, pd.DataFrame]) -> EvaluationRows:
        """Put the rows of all experiences together once: with many experiences, that costs as much as asking."""
        return cls(rows, pd.concat(rows.values(), ignore_index=True))

    @property
    def experiences(self) -> np.ndarray:
        """The experience of each row."""
        return np.repeat(np.array(list(self.of), dtype=object), [len(rows) for rows in self.of.values()])

    def parts(self) -> Iterator[tuple[str, pd.DataFrame, slice]]:
        """Yield each experience, its rows, and where they lie in all of them."""
        start = 0
        for id, rows in self.of.items():
            yield id, rows, slice(start, start := start + len(rows))


@dataclass(frozen=True)
class ModelAnswers:
    """A learner, its predictions of all test rows with their Brier scores, and its scores on each experience."""

    learner: Learner
    predictions: list[Prediction]
    brier: np.ndarray
    scores: list[Score]

    @property
    def values(self) -> list[object]:
        """The bare predictions."""
        return [prediction.value for prediction in self.predictions]

    def per_class(self, tests: EvaluationRows) -> dict[str, dict[str, float]]:
        """Return the scores of each class over all test rows."""
        return self.learner.task.per_class(tests.together, self.values)

    def report(self, tests: EvaluationRows) -> dict[str, dict[str, float]]:
        """Return the report of entities over all test rows; empty where answers have none."""
        return self.learner.task.report(tests.together, self.values)

    def untested_classes(self, tested: Collection[str]) -> list[str]:
        """Return the classes that the learner knows and that are not among the tested ones."""
        task, labels = self.learner.task, self.learner.labels
        return [name for name in task.scored_classes(labels) if name not in tested]


def scored_rows(config: Config, chosen: dict[str, pd.DataFrame]) -> EvaluationRows:
    """Return the test rows that are answered and scored: of a task whose answers are written, `choose_written`."""
    task = plugins.build(Task, config.task)
    writes = Capability.WRITING in task.provides and not task.reads_answers
    return EvaluationRows.of_experiences(choose_written(chosen, config.evaluation.generate_rows) if writes else chosen)


def _write_few(model: ModelAnswers, tests: EvaluationRows, most: int) -> ModelAnswers:
    """Let a model write a few answers, where its scores need none: the smoke test compares what a version writes."""
    if not model.learner.writes:
        return model
    drawn = draw_by_hash(tests.together.assign(position=range(len(tests.together))), most)
    predictions = list(model.predictions)
    written = write(model.learner, model.learner.encode(drawn))
    for position, own in zip(drawn["position"], written, strict=True):
        value = RatedText(own.value, predictions[position].value.nll)
        predictions[position] = replace(own, value=value)
    return replace(model, predictions=predictions)


def answer_tests(
    folder: Path,
    tests: EvaluationRows,
    answering: Callable[[Path, Learner], Answering] | None = None,
    *,
    stored: pd.DataFrame | None = None,
) -> ModelAnswers:
    """Load a learner, and let it answer and score the test rows of each experience.

    Args:
        folder: of the learner.
        tests: the rows.
        answering: as in `HeldOut`.
        stored: the rows that it answered as a challenger: only the others are asked.
    """
    learner = load_learner(folder)
    stored = None if learner.task.reads_answers else stored  # to read is cheap, and what was read is not stored
    with meter(len(tests.together), "rows"):
        if stored is not None:
            predictions, brier = _answer_new(learner, tests, stored)
        else:
            logits_of = answering(folder, learner) if answering else None
            parts = [("", tests.together)] if logits_of is None else list(tests.of.items())
            answers = [answer(learner, rows, logits=logits_of(id, rows) if logits_of else None) for id, rows in parts]
            predictions = [prediction for part in answers for prediction in part.predictions]
            brier = np.concatenate([part.brier for part in answers])
    values = [prediction.value for prediction in predictions]
    scores = [learner.task.score_experience(id, rows, values[part]) for id, rows, part in tests.parts()]
    return ModelAnswers(learner, predictions, brier, scores)


def _answer_new(learner: Learner, tests: EvaluationRows, stored: pd.DataFrame) -> tuple[list[Prediction], np.ndarray]:
    """Return the predictions of all test rows and their Brier scores: the stored ones, and those of rows not stored.

    A row whose target has changed since is not taken for the same.
    """
    task, rows = learner.task, tests.together
    targets = rows[task.schema.answer.name].map(task.describe)
    wanted = pd.MultiIndex.from_arrays([tests.experiences, rows["id"], targets])
    cut = f"{CHALLENGER}_cut"  # only of answers that are written
    stored = stored if cut in stored or not task.most_new_tokens else stored.iloc[:0]
    stored = stored if cut in stored else stored.assign(**{cut: 0.0})
    known = stored.set_index(["experience", "id", "target"])[[CHALLENGER, "confidence", f"{CHALLENGER}_brier", cut]]
    known = known[~known.index.duplicated()]
    positions = known.index.get_indexer(wanted)
    values = [task.read_described(described) for described in known[CHALLENGER]]
    confidence, known_brier = known["confidence"].tolist(), known[f"{CHALLENGER}_brier"].to_numpy()
    was_cut = known[cut].astype(bool).tolist()
    asked = np.flatnonzero([position < 0 or values[position] is None for position in positions])
    fresh = answer(learner, rows.iloc[asked].reset_index(drop=True))
    answered = dict(zip(asked.tolist(), fresh.predictions, strict=True))
    predictions = [
        answered[row] if row in answered else Prediction(values[position], confidence[position], cut=was_cut[position])
        for row, position in enumerate(positions.tolist())
    ]
    brier = np.zeros(len(rows))
    brier[asked] = fresh.brier
    is_stored = np.setdiff1d(np.arange(len(rows)), asked)
    brier[is_stored] = known_brier[positions[is_stored]]
    return predictions, brier


def _build_table(tests: EvaluationRows, models: dict[str, ModelAnswers], columns: list[str]) -> pd.DataFrame:
    """Return one row per test row for gates and reports: each model's answer and the gates' columns, but no text."""
    task, rows = models[CHALLENGER].learner.task, tests.together
    table = pd.DataFrame(
        {"experience": tests.experiences, "id": rows["id"], "target": rows[task.schema.answer.name].map(task.describe)}
    )
    table["chars"] = task.texts(rows).map(len).astype("int64")
    if columns:  # rows ingested before a column was kept lack it
        parts = [pd.DataFrame({name: own.get(name) for name in columns}, own.index) for own in tests.of.values()]
        table[columns] = pd.concat(parts, ignore_index=True)
    for who, model in models.items():
        values = model.values
        table[who] = [task.describe(value) for value in values]
        table[f"{who}_score"] = task.row_scores(rows, values)
        table[CONFIDENCE[who]] = [prediction.confidence for prediction in model.predictions]
        table[f"{who}_brier"] = model.brier
        if Capability.WRITING in task.provides and not task.reads_answers:
            faults = find_faults(list(rows[task.schema.answer.name].map(task.describe)), model.predictions)
            table = table.assign(**{f"{who}_{fault}": own for fault, own in faults.items()})
            counts = task.counts(rows, values)
            table = table.assign(**{f"{who}_{name}": store_counts(own) for name, own in counts.items()})
    return table


def _add_baseline(table: pd.DataFrame, baselines: Baselines) -> pd.DataFrame:
    """Return the table with a column ``baseline_score``: each row's score from the strongest baseline."""
    if baselines.strongest is None:
        return table
    scores = pd.read_parquet(baselines.rows)[["experience", "id", baselines.strongest]]
    return table.merge(
        scores.rename(columns={baselines.strongest: "baseline_score"}), on=["experience", "id"], how="left"
    )


def _compare(accuracy: float | None, baselines: Baselines) -> dict[str, float]:
    """Return each baseline's ACC, and how far the challenger is above the strongest, as numbers for gates."""
    known = {name: scores.accuracy for name, scores in baselines.of.items() if scores.accuracy is not None}
    numbers = {f"baseline_{name}": value for name, value in known.items()}
    strongest = baselines.strongest
    if strongest is None or accuracy is None:
        return numbers
    return {**numbers, "over_baseline": accuracy - known[strongest]}


def _measure_control(arm: ControlArm, tests: EvaluationRows, challenger: list[Score]) -> Control:
    scores = answer_tests(Path(arm.folder), tests).scores
    gains = [
        (score.experience in arm.experiences, score.value - naive.value)
        for score, naive in zip(challenger, scores, strict=True)
        if score.value is not None and naive.value is not None
    ]
    past, new = ([gain for is_new, gain in gains if is_new == wanted] for wanted in (False, True))
    return Control(
        scores=scores,
        rows=arm.rows,
        epochs=arm.epochs,
        seconds=arm.seconds,
        forgetting_avoided=float(np.mean(past)) if past else None,
        learning_cost=-float(np.mean(new)) if new else None,
    )
