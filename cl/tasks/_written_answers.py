"""What all tasks have in common whose answer is a text that a language model writes: learning, writing and scores."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from cl.tasks import IGNORED, Encoded, Schema
from cl.tasks._corpus_scores import WRITTEN_SCORES, count_answers
from cl.tasks._language_task import LanguageTask, Written, first_token, general_ids
from cl.tasks._prompts import PromptPart, Template, tokenise_parts
from cl.tasks._text_scores import CORPUS_SCORES, TEXT_SCORES, likelihood

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from transformers import PreTrainedTokenizerBase

_SCORES = {**TEXT_SCORES, "likelihood": likelihood}


class WrittenAnswers(LanguageTask):
    """Base of the tasks whose answer is a text: its loss is that of the tokens that a row's parts have learned."""

    schema: ClassVar[Schema]
    row_metric: ClassVar[str] = "likeness of an answer to the true one"

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

    @property
    def score_name(self) -> str:
        """The name of the main metric: that of ``nll`` is likelihood, exp(-NLL per token)."""
        return "likelihood" if self.reads_answers else self.metric

    @property
    def reads_answers(self) -> bool:
        """Whether rows are scored by how probable the model holds the true answer, and not by what it writes."""
        return self.metric == "nll"

    def parts(self, asked: Any, answer: str | None, tokenizer: PreTrainedTokenizerBase) -> list[PromptPart]:
        """Return a row as a model reads and writes it, in parts, of which the last is the answer if there is one.

        Args:
            asked: the row's input.
            answer: None: it is to be written.
            tokenizer: of the model.
        """
        raise NotImplementedError

    def beginning(self, asked: Any, tokenizer: PreTrainedTokenizerBase) -> str:
        """Return the beginning of a prompt that stays where the prompt is too long; by default none does."""
        return ""

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

        Where both are read together, a long input loses what follows its `beginning`, so that half of the length, or
        an answer of ``max_new_tokens``, has room; a long answer loses its end. An answer without an input is read by
        itself.

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
        alone = [PromptPart("", False), PromptPart(answer or "", True)]
        parts = alone if said is None else self.parts(said, answer, tokenizer)
        before = parts if answer is None else parts[:-1]
        asked, earlier = tokenise_parts(before, tokenizer, ends=True)
        written, learned = tokenise_parts(parts[len(before) :], tokenizer, ends=True)
        room = max(max_length // 2, max_length - self.max_new_tokens)
        stays = 0
        if len(asked) > room:
            stays = 0 if said is None else self._count_staying(said, asked, room, tokenizer)
            resumes = stays + len(asked) - room
            asked, earlier = asked[:stays] + asked[resumes:], earlier[:stays] + earlier[resumes:]
        asked, earlier = asked or [first_token(tokenizer)], earlier or [False]
        left = max_length - len(asked)
        targets = [id if own else IGNORED for id, own in zip(written[:left], learned[:left], strict=True)]
        targets = targets[: max((index + 1 for index, id in enumerate(targets) if id != IGNORED), default=0)]
        positions = [len(asked) - 1 + index for index in range(len(targets))]
        if answer is not None:  # what was answered earlier is learned as well
            turns = [index for index, own in enumerate(earlier) if own and index not in (0, stays)]
            targets = [*(asked[index] for index in turns), *targets]
            positions = [*(index - 1 for index in turns), *positions]
        return Encoded(asked + written[:left], targets, list(range(len(targets))), Written(asked, positions))

    def _count_staying(self, said: Any, asked: list[int], room: int, tokenizer: PreTrainedTokenizerBase) -> int:
        """Return how many tokens of a prompt stay at its start: its `beginning`, if half of the room is enough."""
        ids: list[int] = tokenizer(self.beginning(said, tokenizer), add_special_tokens=False)["input_ids"]
        return len(ids) if len(ids) <= room // 2 and asked[: len(ids)] == ids else 0

    def _encode_apart(
        self, said: Any, answer: str | None, tokenizer: PreTrainedTokenizerBase, max_length: int
    ) -> Encoded:
        asked = "" if said is None else self.as_plain_text(said)
        ids: list[int] = tokenizer(asked, truncation=True, max_length=max_length)["input_ids"]
        ids = ids or [first_token(tokenizer)]
        if answer is None:
            return Encoded(ids, [], [], Written(ids, []))
        targets: list[int] = tokenizer(text_target=answer, add_special_tokens=False)["input_ids"]
        targets = [*targets, tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else targets
        targets = targets[:max_length]
        return Encoded(ids, targets, list(range(len(targets))), Written(ids, [0] * len(targets)))

    def general_rows(self, texts: list[str]) -> pd.DataFrame:
        """Return the texts as answers without an input, under ids of their own."""
        import pandas as pd

        nothing = pd.Series([None] * len(texts), dtype=object)
        columns = {self.schema.input_names[0]: nothing, self.schema.answer.name: texts}
        return pd.DataFrame({"id": general_ids(texts), **columns})

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

    def read_described(self, described: str) -> Any:
        """Return the answer."""
        return described
