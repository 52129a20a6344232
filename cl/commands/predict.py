"""`cl predict`: answer with the champion; answers to a file are logged so that labels can be joined later."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cl.commands._parse_inputs import parse_inputs
from cl.errors import InputError, SourceError
from cl.ingestion.check_rows import input_rows, require_columns
from cl.ingestion.file_formats import UNREADABLE
from cl.ingestion.sources.files import Files
from cl.process.progress import meter, shows_amounts, stage
from cl.stores.opened import OpenProject, open_project
from cl.stores.predictions.logged_values import to_log
from cl.stores.predictions.predictions import Predictions
from cl.tasks import Task

if TYPE_CHECKING:
    import pandas as pd

    from cl.models.learner import Learner
    from cl.serving.out_of_scope import OutOfScopeCheck

OUT_OF_SCOPE = "out_of_scope"
"""Whether a text resembles nothing that the version was promoted on, as the server says it."""


def predict_texts(folder: Path, texts: list[str]) -> list[dict[str, Any]]:
    """Return each text's prediction and confidence, and whether it is out of scope; None: the champion cannot say.

    Where the task has several inputs, a text is a JSON object with them.

    Raises:
        InputError: a text does not hold the inputs.
        InputError: there is no champion yet.
        IntegrityError: the champion's files differ from those that were promoted.
        UnservableError: the champion's weights are damaged.
    """
    champion = _load_champion(open_project(folder))
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
    source = Files(path=str(Path(path).absolute()), only=project.config.data.only)
    source.check(project.project.root)
    for batch in source.batches(project.project.root, chunk_rows=project.config.data.chunk_rows):
        total = batch.expected_rows() if shows_amounts() else None
        with stage(f"answer {batch.origin}"), meter(total, "rows"):
            for chunk in batch.chunks:
                rows = _answerable_rows(chunk, project, champion.learner.task, origin=batch.origin)
                skipped += len(chunk) - len(rows)
                if len(rows):
                    answers = champion.answer(rows)
                    log.append(to_log(answers.drop(columns=OUT_OF_SCOPE), champion.learner.task.schema))
                    outside += sum(map(bool, answers[OUT_OF_SCOPE]))
                    if out is not None:
                        answers.to_csv(out, mode="a" if answered else "w", header=not answered, index=False)
                    answered += len(rows)
    if not answered:
        raise SourceError(f"{path}: no row has both an id and an input")
    return {
        "answered": answered,
        "skipped": skipped,
        OUT_OF_SCOPE: outside,
        "version": champion.version,
        "log": str(log.folder),
    }


@dataclass(frozen=True)
class _Champion:
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


def _load_champion(project: OpenProject) -> _Champion:
    version = project.champion()
    folder = project.stores.champion_folder(version)
    assert folder is not None
    with stage(f"load version {version}"):
        from cl.models.persistence import load_learner
        from cl.serving.out_of_scope import build_scope

        return _Champion(version, load_learner(folder), build_scope(folder))


def _answerable_rows(chunk: pd.DataFrame, project: OpenProject, task: Task, *, origin: str) -> pd.DataFrame:
    if UNREADABLE in chunk:
        chunk = chunk[chunk[UNREADABLE].isna()].drop(columns=UNREADABLE)
    require_columns(chunk, project.config, task, origin=origin, labelled=False)
    rows = input_rows(chunk, project.config, task)
    needed = [column.name for column in task.schema.inputs if not column.optional]
    return rows.dropna(subset=["id", *needed]).reset_index(drop=True)
