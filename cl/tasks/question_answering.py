"""Extractive question answering: the part of a text that answers a question, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from cl.tasks import (
    IGNORED,
    Batch,
    Capability,
    Column,
    Encoded,
    Pooling,
    Prediction,
    Schema,
    Targets,
    Task,
    ValueKind,
    scores_by_class,
)
from cl.tasks._text_scores import words_f1, words_of_answer

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from transformers import PreTrainedTokenizerBase

START, END = 0, 1
"""Columns of the logits."""
NOWHERE = 0
"""The position that answers a question without an answer: that of the first token."""
IMPOSSIBLE = -1e4
"""The logit of a position outside the text."""


class QuestionAnswering(Task):
    """The start and the end of the answer, by a linear head over the states of question and text.

    A question without an answer is answered by the first token (Devlin et al., 2019, section 4.3). A text that is too
    long for the encoder is read in windows, each with the question before it (``model.windows``), and all its positions
    compete for one answer (Clark and Gardner, 2018, section 3.3, "shared-norm").

    Exact match and F1 are those of SQuAD 2.0's script (Rajpurkar et al., 2018), but for punctuation, which is
    Unicode's.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({'answers': [['the red house', 'house'], []]})
    >>> QuestionAnswering().row_scores(rows, [['a house.'], ['a house']]).tolist()
    [1.0, 0.0]
    """

    schema: ClassVar[Schema] = Schema(
        inputs=(
            Column("question", ValueKind.TEXT, "The question", "Who founded Acme?"),
            Column("context", ValueKind.TEXT, "The text that may hold the answer", "Anna founded Acme in York."),
        ),
        answer=Column("answers", ValueKind.TEXTS, "Parts of the text that answer it; empty: none does", ["Anna"]),
        further=(
            Column(
                "answer_starts",
                ValueKind.NUMBERS,
                "Where each answer starts; else where it first is",
                [0],
                optional=True,
                within="context",
            ),
        ),
        split_by=("context",),
    )
    provides: ClassVar[frozenset[Capability]] = frozenset({Capability.EMBEDDINGS, Capability.ENCODER})
    metric: ClassVar[str] = "f1"
    row_metric: ClassVar[str] = "F1 of an answer"
    solver: ClassVar[dict[str, Any] | None] = None

    max_answer_tokens: int = Field(30, ge=1, description="Most tokens of an answer")

    def labels(self, rows: pd.DataFrame) -> list[str]:
        """Return the names of the two logits of each position."""
        return ["start", "end"]

    def encode(
        self, rows: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, labels: list[str], *, max_length: int
    ) -> list[Encoded]:
        """Tokenise question and text as a pair; of a question, at most half of the length is read."""
        if rows.empty:
            return []
        own = getattr(tokenizer, "tokenizer", tokenizer)  # what is cached has no offsets
        questions = [_shortened(own, question, max_length // 2) for question in rows["question"]]
        encoding = own(
            questions,
            list(rows["context"]),
            truncation="only_second",
            max_length=max_length,
            return_offsets_mapping=True,
        )
        answers = rows["answers"] if "answers" in rows else [None] * len(rows)
        starts = rows["answer_starts"] if "answer_starts" in rows else [None] * len(rows)
        return [
            _encode(encoding, index, context, given, own_starts)
            for index, (context, given, own_starts) in enumerate(zip(rows["context"], answers, starts, strict=True))
        ]

    def targets(self, batch: list[Encoded], length: int) -> torch.Tensor:
        """Return the positions of start and end (rows, 2)."""
        import torch

        return torch.tensor([row.targets for row in batch])

    def extras(self, batch: list[Encoded], length: int) -> dict[str, torch.Tensor]:
        """Return ``possible`` (rows, length), where an answer can be, and ``prefix``, the tokens before the text."""
        import torch

        possible = torch.zeros(len(batch), length, dtype=torch.bool)
        for row, encoded in enumerate(batch):
            possible[row, NOWHERE] = True
            possible[row, encoded.context.first : encoded.context.first + len(encoded.context.offsets)] = True
        return {"possible": possible, "prefix": torch.tensor([row.context.first for row in batch])}

    def features(self, states: torch.Tensor, batch: Batch, pool: Pooling) -> torch.Tensor:
        """Return the states unchanged: (rows, length, width)."""
        return states

    def limit(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return the logits (rows, length, 2), lowered wherever no answer can start or end."""
        return logits.masked_fill(~batch.extras["possible"].unsqueeze(-1), IMPOSSIBLE)

    def loss(
        self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None, *, summed: bool = False
    ) -> torch.Tensor:
        """Return the mean cross-entropy of start and end over the positions of each row."""
        return super().loss(logits.transpose(1, 2), targets, weights, summed=summed)

    def draw_targets(self, logits: torch.Tensor, targets: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return positions drawn from the model's own answers, -100 where the given ones are."""
        return super().draw_targets(logits.transpose(1, 2), targets, generator)

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the probabilities of start and end, each of which add up to one over the positions of a row."""
        return logits.softmax(-2)

    def by_row(self, values: torch.Tensor, targets: torch.Tensor) -> list[torch.Tensor]:
        """Split a batch's logits or features into rows of (positions, ...)."""
        return list(values)

    def decode(self, probabilities: np.ndarray, encoded: Encoded, targets: Targets) -> Prediction:
        """Return the most probable span, as a list of one text; empty: there is no answer."""
        import numpy as np

        passage: _Passage = encoded.context
        inside = slice(passage.first, passage.first + len(passage.offsets))
        starts, ends = probabilities[inside, START], probabilities[inside, END]
        nothing = float(probabilities[NOWHERE, START] * probabilities[NOWHERE, END])
        best, value = nothing, list[str]()
        for length in range(min(self.max_answer_tokens, len(starts))):
            products = starts[: len(starts) - length] * ends[length:]
            start = int(np.argmax(products))
            if products[start] > best:
                best = float(products[start])
                value = [passage.text[passage.offsets[start][0] : passage.offsets[start + length][1]]]
        return Prediction(value, best)

    def brier(self, probabilities: np.ndarray, encoded: Encoded) -> float:
        """Return the squared distance of both distributions over positions from the truth, 0 to 2: their mean."""
        if encoded.targets[START] == IGNORED:
            return 0.0
        right = [probabilities[position, column] for column, position in enumerate(encoded.targets)]
        return float(fmean((probabilities[:, column] ** 2).sum() + 1 - 2 * right[column] for column in (START, END)))

    def row_scores(self, rows: pd.DataFrame, predictions: list[Any]) -> np.ndarray:
        """Return the F1 of each answer with the most similar of the true ones."""
        import numpy as np

        return np.array(
            [_best_of(words_f1, truth, said) for truth, said in zip(rows["answers"], predictions, strict=True)]
        )

    def score(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, float]:
        """Return exact match and F1, and F1 over the questions that have an answer and over those that have none."""
        if rows.empty:
            return {}
        scores, classes = self.row_scores(rows, predictions), self.classes(rows).to_numpy()
        exact = [_best_of(_is_same, truth, said) for truth, said in zip(rows["answers"], predictions, strict=True)]
        return {
            "f1": float(scores.mean()),
            "exact_match": fmean(exact),
            **{f"f1/{name}": float(scores[classes == name].mean()) for name in sorted(set(classes))},
        }

    def class_scores(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, float]:
        """Return the F1 over questions with an answer, and over those without."""
        scores = self.score(rows, predictions)
        return {name.removeprefix("f1/"): value for name, value in scores.items() if name.startswith("f1/")}

    def per_class(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, dict[str, float]]:
        """Return the scores of both classes: how well it knows which questions have an answer."""
        said = map(_answerability, predictions)
        return scores_by_class(set(enumerate(self.classes(rows))), set(enumerate(said)))

    def classes(self, rows: pd.DataFrame) -> pd.Series:
        """Return whether each question has an answer: ``answerable`` or ``unanswerable``."""
        return rows["answers"].map(_answerability)

    def class_names(self, labels: list[str]) -> list[str]:
        """Return both classes."""
        return ["answerable", "unanswerable"]


@dataclass(frozen=True)
class _Passage:
    """The text of a row, where its first token is, and where in the text each of its tokens starts and ends."""

    text: str
    first: int
    offsets: list[tuple[int, int]]


def _shortened(tokenizer: PreTrainedTokenizerBase, question: str, most: int) -> str:
    """Return the start of a question of which the tokenizer makes at most so many tokens."""
    offsets = tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return question if len(offsets) <= most else question[: offsets[most - 1][1]]


def _encode(encoding: Any, row: int, text: str, answers: Sequence[str] | None, starts: Sequence[int] | None) -> Encoded:
    ids, sequences = encoding["input_ids"][row], encoding.sequence_ids(row)
    inside = [position for position, sequence in enumerate(sequences) if sequence == 1]
    offsets = [tuple(encoding["offset_mapping"][row][position]) for position in inside]
    passage = _Passage(text, inside[0] if inside else len(ids), offsets)
    return Encoded(ids, _positions(passage, answers, starts), [], passage)


def _positions(passage: _Passage, answers: Sequence[str] | None, starts: Sequence[int] | None) -> list[int]:
    """Return the first and last token of the first answer that the text read holds; -100 if it holds none of them."""
    if answers is None:
        return [IGNORED, IGNORED]
    if not len(answers):
        return [NOWHERE, NOWHERE]
    known = (
        starts
        if starts is not None and len(starts) == len(answers)
        else [passage.text.find(answer) for answer in answers]
    )
    for answer, start in zip(answers, known, strict=True):
        end = start + len(answer)
        tokens = [index for index, (left, right) in enumerate(passage.offsets) if left < end and right > start]
        if start >= 0 and tokens and passage.offsets[tokens[-1]][1] >= end:
            return [passage.first + tokens[0], passage.first + tokens[-1]]
    return [IGNORED, IGNORED]


def _best_of(score: Any, truth: Sequence[str], said: Sequence[str]) -> float:
    """Return the score of an answer with the true one that is most like it; where there is none, 1 if none is given."""
    if not len(truth) or not said:
        return float(not len(truth) and not said)
    return max(float(score(words_of_answer(answer), words_of_answer(said[0]))) for answer in truth)


def _is_same(truth: list[str], said: list[str]) -> bool:
    return truth == said


def _answerability(answers: Sequence[str]) -> str:
    return "answerable" if len(answers) else "unanswerable"
