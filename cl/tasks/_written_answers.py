"""What all tasks have in common whose answer is a text that a language model writes: learning, writing and scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from cl.tasks import IGNORED, Capability, Encoded, Schema, Task
from cl.tasks._corpus_scores import WRITTEN_SCORES, count_answers
from cl.tasks._prompts import PromptPart, Template, tokenise_parts
from cl.tasks._text_scores import CORPUS_SCORES, TEXT_SCORES, likelihood

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from transformers import PreTrainedTokenizerBase


ANSWER = "text"
"""The only label of what a model writes."""
_SCORES = {**TEXT_SCORES, "likelihood": likelihood}


class WrittenAnswers(Task):
    """Base of the tasks whose answer is a text: its loss is that of the tokens that a row's parts have learned."""

    schema: ClassVar[Schema]
    provides: ClassVar[frozenset[Capability]] = frozenset({Capability.WRITING})
    row_metric: ClassVar[str] = "likeness of an answer to the true one"
    solver: ClassVar[dict[str, Any] | None] = None
    defaults: ClassVar[Mapping[str, Any]] = {
        "model": {"name": "smollm2", "max_length": 256, "tuning": {"name": "lora", "rank": 10, "alpha": 20.0}},
        "training": {"batch_size": 8},
        "drift": {"max_rows": 200, "reference_rows": 200},
        "evaluation": {
            "max_rows": 200,
            "robustness": [],
            "latency_calls": 3,
            "throughput_rows": 8,
        },
    }

    metric: Literal["chrf", "bleu", "rouge_l", "exact_match", "f1", "nll"] = Field(  # type: ignore[misc]
        "chrf",
        description="What an answer is scored by: chrF of characters, BLEU or ROUGE-L of words in order, the same "
        "words, F1 of words, or nll: how probable the model holds the true answer, for which it need not write",
    )
    template: Template = Field(
        "auto",
        description="How prompts and answers are put: chat: by the chat template of the tokenizer; plain: as they are; "
        "auto: chat where there is one",
    )
    max_new_tokens: int = Field(64, ge=1, le=4096, description="Most tokens of an answer")

    @property
    def score_name(self) -> str:
        """The name of the main metric: that of ``nll`` is likelihood, exp(-NLL per token)."""
        return "likelihood" if self.reads_answers else self.metric

    @property
    def reads_answers(self) -> bool:
        """Whether rows are scored by how probable the model holds the true answer, and not by what it writes."""
        return self.metric == "nll"

    @property
    def most_new_tokens(self) -> int:
        """The most tokens of an answer."""
        return self.max_new_tokens

    def labels(self, rows: pd.DataFrame) -> list[str]:
        """Return the name of what a model can answer."""
        return [ANSWER]

    def parts(self, asked: Any, answer: str | None, tokenizer: PreTrainedTokenizerBase) -> list[PromptPart]:
        """Return a row as a model reads and writes it, in parts, of which the last is the answer if there is one.

        Args:
            asked: the row's input.
            answer: None: it is to be written.
            tokenizer: of the model.
        """
        raise NotImplementedError

    def as_plain_text(self, asked: Any) -> str:
        """Return what an encoder reads whose decoder writes the answer."""
        raise NotImplementedError

    def encode(
        self,
        rows: pd.DataFrame,
        tokenizer: PreTrainedTokenizerBase,
        labels: list[str],
        *,
        max_length: int,
        apart: bool = False,
    ) -> list[Encoded]:
        """Tokenise inputs and answers.

        Where both are read together, a long input loses its beginning, so that half of the length, or an answer of
        ``max_new_tokens``, has room; a long answer loses its end.

        Args:
            rows: inputs, and answers if there are any.
            tokenizer: of the model.
            labels: not read.
            max_length: most tokens that are read.
            apart: the answer is written by a decoder of its own, and not after the input.
        """
        answer = self.schema.answer.name
        answers = rows[answer] if answer in rows else [None] * len(rows)
        encode = self._encode_apart if apart else self._encode_together
        return [
            encode(asked, answer, tokenizer, max_length)
            for asked, answer in zip(rows[self.schema.input_names[0]], answers, strict=True)
        ]

    def _encode_together(
        self, said: Any, answer: str | None, tokenizer: PreTrainedTokenizerBase, max_length: int
    ) -> Encoded:
        parts = self.parts(said, answer, tokenizer)
        before = parts if answer is None else parts[:-1]
        asked, earlier = tokenise_parts(before, tokenizer, ends=True)
        written, learned = tokenise_parts(parts[len(before) :], tokenizer, ends=True)
        room = max(max_length // 2, max_length - self.max_new_tokens)
        asked, earlier = asked[-room:] or [_first_token(tokenizer)], earlier[-room:] or [False]
        left = max_length - len(asked)
        targets = [id if own else IGNORED for id, own in zip(written[:left], learned[:left], strict=True)]
        targets = targets[: max((index + 1 for index, id in enumerate(targets) if id != IGNORED), default=0)]
        positions = [len(asked) - 1 + index for index in range(len(targets))]
        if answer is not None:  # what was answered earlier is learned as well
            turns = [index for index, own in enumerate(earlier) if own and index]
            targets = [*(asked[index] for index in turns), *targets]
            positions = [*(index - 1 for index in turns), *positions]
        return Encoded(asked + written[:left], targets, list(range(len(targets))), _Written(asked, positions))

    def _encode_apart(
        self, said: Any, answer: str | None, tokenizer: PreTrainedTokenizerBase, max_length: int
    ) -> Encoded:
        ids: list[int] = tokenizer(self.as_plain_text(said), truncation=True, max_length=max_length)["input_ids"]
        ids = ids or [_first_token(tokenizer)]
        if answer is None:
            return Encoded(ids, [], [], _Written(ids, []))
        targets: list[int] = tokenizer(text_target=answer, add_special_tokens=False)["input_ids"]
        targets = [*targets, tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else targets
        targets = targets[:max_length]
        return Encoded(ids, targets, list(range(len(targets))), _Written(ids, [0] * len(targets)))

    def targets(self, batch: list[Encoded], length: int) -> torch.Tensor:
        """Return the tokens of the answers (rows, targets), -100 where a shorter one has ended."""
        import torch

        most = max(1, *(len(row.targets) for row in batch))
        return torch.tensor([row.targets + [IGNORED] * (most - len(row.targets)) for row in batch])

    def extras(self, batch: list[Encoded], length: int) -> dict[str, torch.Tensor]:
        """Return ``positions`` (rows, targets): after which token of the row each token of the answer is written."""
        import torch

        most = max(1, *(len(row.targets) for row in batch))
        return {
            "positions": torch.tensor(
                [row.context.positions + [0] * (most - len(row.context.positions)) for row in batch]
            )
        }

    def row_scores(self, rows: pd.DataFrame, predictions: list[Any]) -> np.ndarray:
        """Return the score of each answer by the task's metric."""
        import numpy as np

        score = _SCORES[self.score_name]
        return np.array(
            [score(truth, answer) for truth, answer in zip(rows[self.schema.answer.name], predictions, strict=True)]
        )

    def counts(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, np.ndarray]:
        """Return what adds up to chrF or BLEU of all rows, ROUGE-L, exact match and F1; {} where nothing is written."""
        if self.reads_answers:
            return {}
        together = [f"corpus_{self.metric}"] if self.metric in CORPUS_SCORES else []
        truths = list(rows[self.schema.answer.name])
        return {name: count_answers(name, truths, predictions) for name in (*together, *WRITTEN_SCORES)}

    def score(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, float]:
        """Return the mean score by the task's metric, ROUGE-L, the share of exact matches, and F1.

        With chrF or BLEU, also that of all rows together; with ``nll``, the mean likelihood alone.
        """
        if rows.empty:
            return {}
        truths = list(rows[self.schema.answer.name])
        others = [] if self.reads_answers else WRITTEN_SCORES
        scores: dict[str, float] = {
            str(name): fmean(_SCORES[name](truth, answer) for truth, answer in zip(truths, predictions, strict=True))
            for name in dict.fromkeys([self.score_name, *others])
        }
        together = CORPUS_SCORES.get(self.metric)
        return scores if together is None else {**scores, f"corpus_{self.metric}": together(truths, predictions)}

    def class_scores(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, float]:
        """Return nothing: rows have no classes."""
        return {}

    def per_class(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, dict[str, float]]:
        """Return nothing: rows have no classes."""
        return {}

    def classes(self, rows: pd.DataFrame) -> pd.Series:
        """Return the same class for each row: what was written is no class."""
        import pandas as pd

        return pd.Series(ANSWER, index=rows.index, dtype=object)

    def class_names(self, labels: list[str]) -> list[str]:
        """Return the class of all rows."""
        return [ANSWER]

    def scored_classes(self, labels: list[str]) -> list[str]:
        """Return nothing: rows have no classes to score."""
        return []

    def read_described(self, described: str) -> Any:
        """Return the answer."""
        return described


@dataclass(frozen=True)
class _Written:
    """The tokens of a row's prompt, and after which position each token of the answer is written."""

    prompt: list[int]
    positions: list[int]


def _first_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the token that stands for a prompt of which the tokenizer leaves nothing."""
    named = (getattr(tokenizer, f"{kind}_token_id", None) for kind in ("bos", "eos", "unk", "pad"))
    return next(int(id) for id in named if id is not None)
