"""`cl predict`: answer with the champion; answers to a file are logged so that labels can be joined later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cl.commands._parse_inputs import are_bare, parse_inputs
from cl.errors import InputError, SourceError
from cl.ingestion.check_rows import input_rows, require_columns
from cl.ingestion.file_formats import UNREADABLE
from cl.ingestion.sources.files import Files
from cl.process.progress import meter, shows_amounts, stage
from cl.stores.opened import OpenProject, open_project
from cl.stores.predictions.logged_values import to_log
from cl.stores.predictions.predictions import Predictions
from cl.tasks import Task, ValueKind

if TYPE_CHECKING:
    import pandas as pd

    from cl.models.learner import Learner
    from cl.models.pairs import PairFinder
    from cl.serving.out_of_scope import OutOfScopeCheck

OUT_OF_SCOPE = "out_of_scope"
"""Whether a text resembles nothing that the version was promoted on, as the server says it."""


def predict_texts(folder: Path, texts: list[str]) -> list[dict[str, Any]]:
    """Return each text's prediction and confidence, and whether it is out of scope; None: the champion cannot say.

    Where the task has several inputs, a text is a JSON object with them; where a tagger finds the spans, a text may be
    bare, and gets the relations in it.

    Raises:
        InputError: a text does not hold the inputs, or the tagger cannot be used.
        InputError: there is no champion yet.
        IntegrityError: the champion's files differ from those that were promoted.
        UnservableError: the champion's weights are damaged.
    """
    project = open_project(folder)
    if are_bare(texts, tagger=project.config.pipeline.tagger):
        return relations_in(texts, _load_champion(project), _open_finder(project))
    champion = _load_champion(project)
    schema = champion.learner.task.schema
    answers = champion.answer(schema.frame(parse_inputs(texts, schema)))
    result: list[dict[str, Any]] = answers.assign(text=texts)[
        ["text", "prediction", "confidence", "version", OUT_OF_SCOPE]
    ].to_dict("records")
    return result


def predict_file(folder: Path, path: str, out: Path | None) -> dict[str, Any]:
    """Answer the rows of a file or folder, log the answers, and write them to a CSV file if ``out`` is given.

    Rows without an id or an input are skipped and counted.

    Raises:
        InputError: there is no champion yet.
        InputError: this project's rows have no ids.
        SourceError: the path cannot be read, or lacks a column.
        UnservableError: the champion's weights are damaged.
    """
    project = open_project(folder)
    if project.config.data.id is None:
        raise InputError(
            f"{project.project.config}: data.id is null, but answers are logged by id; set it to the id column"
        )
    champion, log, answered, skipped, outside = _load_champion(project), Predictions(project.project), 0, 0, 0
    task, finder, texts = champion.learner.task, None, 0
    source = Files(path=str(Path(path).absolute()), only=project.config.data.only)
    source.check(project.project.root)
    for batch in source.batches(project.project.root, chunk_rows=project.config.data.chunk_rows):
        total = batch.expected_rows() if shows_amounts() else None
        with stage(f"answer {batch.origin}"), meter(total, "rows"):
            for chunk in batch.chunks:
                bare = _lacks_spans(chunk, project, task)
                finder = finder or (_open_finder(project) if bare else None)
                rows = _answerable_rows(chunk, project, task, bare=bare, origin=batch.origin)
                skipped, texts = skipped + len(chunk) - len(rows), texts + len(rows)
                rows = _pairs_of_rows(rows, finder, task) if bare and finder else rows
                if len(rows):
                    answers = champion.answer(rows)
                    answers = answers.assign(tagger=finder.tagger) if bare and finder else answers
                    log.append(to_log(answers.drop(columns=OUT_OF_SCOPE), champion.learner.task.schema))
                    outside += sum(map(bool, answers[OUT_OF_SCOPE]))
                    if out is not None:
                        answers = answers[answers["prediction"] != task.no_answer] if bare else answers
                        answers.to_csv(out, mode="a" if answered else "w", header=not answered, index=False)
                    answered += len(rows)
    if not texts:
        raise SourceError(f"{path}: no row has both an id and an input")
    return {
        "answered": answered,
        "skipped": skipped,
        OUT_OF_SCOPE: outside,
        "version": champion.version,
        **({"tagger": finder.tagger} if finder else {}),
        "log": str(log.folder),
    }


@dataclass(frozen=True)
class LoadedChampion:
    """The champion, ready to answer rows."""

    version: str
    learner: Learner
    scope: OutOfScopeCheck | None

    def answer(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows with prediction, confidence, version, time, and whether they are out of scope.

        Raises:
            UnservableError: a confidence is not finite.
        """
        from cl.models.inference import answer, require_finite

        answered = answer(self.learner, rows)
        answers = answered.predictions
        require_finite(self.version, [answer.confidence for answer in answers])
        return rows.assign(
            prediction=[self.learner.task.describe(answer.value) for answer in answers],
            confidence=[answer.confidence for answer in answers],
            version=self.version,
            recorded_at=datetime.now(UTC).isoformat(timespec="seconds"),
            out_of_scope=None if self.scope is None else self.scope.outside(answered.embeddings),
        )


def relations_in(texts: Sequence[str], champion: LoadedChampion, finder: PairFinder) -> list[dict[str, Any]]:
    """Return the relations between the spans that a tagger finds in each text, with both versions.

    Pairs that have none are left out; the others come in the order of the text.
    """
    task, pairs = champion.learner.task, finder.pairs(texts)
    asked = [pair.inputs(text, task.schema) for text, own in zip(texts, pairs, strict=True) for pair in own]
    answers = champion.answer(task.schema.frame(asked)).to_dict("records") if asked else []
    rows, result = iter(answers), list[dict[str, Any]]()
    for text, own in zip(texts, pairs, strict=True):
        answered = [(pair, next(rows)) for pair in own]
        relations = [
            {
                "head": pair.head.described(text),
                "tail": pair.tail.described(text),
                task.schema.answer.name: row["prediction"],
                "confidence": row["confidence"],
                OUT_OF_SCOPE: row[OUT_OF_SCOPE],
            }
            for pair, row in sorted(answered, key=lambda entry: (entry[0].head.start, entry[0].tail.start))
            if row["prediction"] != task.no_answer
        ]
        result.append({"text": text, "relations": relations, "version": champion.version, "tagger": finder.tagger})
    return result


def _open_finder(project: OpenProject) -> PairFinder:
    from cl.registry.tagger import open_finder

    finder = open_finder(project.config, project.stores)
    assert finder is not None
    return finder


def _lacks_spans(chunk: pd.DataFrame, project: OpenProject, task: Task) -> bool:
    """Return whether a tagger finds the spans of a file's rows: there is one, and the file has no column of spans."""
    if project.config.pipeline.tagger is None:
        return False
    spans = [column.name for column in task.schema.inputs if column.kind is ValueKind.SPAN]
    return not any(project.config.data.name_of(name) in chunk for name in spans)


def _pairs_of_rows(rows: pd.DataFrame, finder: PairFinder, task: Task) -> pd.DataFrame:
    """Return a row for each pair of spans in rows with a text; its id says where they are: ID:0-4:13-17."""
    import pandas as pd

    texts, parts = rows[task.schema.text].tolist(), list[dict[str, Any]]()
    for row, text, pairs in zip(rows.to_dict("records"), texts, finder.pairs(texts), strict=True):
        for pair in pairs:
            where = f"{pair.head.start}-{pair.head.end}:{pair.tail.start}-{pair.tail.end}"
            parts.append({**row, **pair.inputs(text, task.schema), "id": f"{row['id']}:{where}"})
    return pd.DataFrame(parts, columns=rows.columns)


def _load_champion(project: OpenProject) -> LoadedChampion:
    version = project.champion()
    folder = project.stores.champion_folder(version)
    assert folder is not None
    with stage(f"load version {version}"):
        from cl.models.persistence import load_learner
        from cl.serving.out_of_scope import build_scope

        return LoadedChampion(version, load_learner(folder), build_scope(folder))


def _answerable_rows(chunk: pd.DataFrame, project: OpenProject, task: Task, *, bare: bool, origin: str) -> pd.DataFrame:
    if UNREADABLE in chunk:
        chunk = chunk[chunk[UNREADABLE].isna()].drop(columns=UNREADABLE)
    if not bare:
        require_columns(chunk, project.config, task, origin=origin, labelled=False)
    rows = input_rows(chunk, project.config, task)
    needed = [column.name for column in task.schema.inputs if not column.optional]
    needed = [name for name in needed if not bare or name == task.schema.text]
    return rows.dropna(subset=["id", *needed]).reset_index(drop=True)
