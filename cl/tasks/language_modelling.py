"""Language modelling: a causal language model goes on reading plain texts, all of which it learns."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, log
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from cl.tasks import Column, Encoded, Prediction, RatedText, Schema, ValueKind
from cl.tasks._language_task import LanguageTask, Written, first_token, general_ids
from cl.tasks._text_scores import likelihood

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from transformers import PreTrainedTokenizerBase

OF_ANSWERS = ("metric", "template", "instruction", "learned_turns")
"""Settings of the tasks that write answers."""


class LanguageModelling(LanguageTask):
    """Continued pre-training: every token of a text is learned, and so is its end.

    A text begins with the token that begins or ends texts, which is only read. One of more than ``model.max_length``
    tokens is read in blocks of so many, none of which sees another: the last token of a block is read again as the
    first of the next, so that each token is predicted once. The score of a row is exp(-NLL per byte) of its text in
    UTF-8: how probable a byte is, the geometric mean, whatever the tokenizer.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"text": ["good day"]})
    >>> LanguageModelling().row_scores(rows, [RatedText("1.0000", 0.6931471805599453)]).tolist()
    [0.5]
    """

    schema: ClassVar[Schema] = Schema(
        inputs=(Column("text", ValueKind.TEXT, "A text to learn", "The harbour freezes in most winters."),),
        answer=Column(
            "bits_per_byte",
            ValueKind.TEXT,
            "Bits that the model needs for a byte of the text; rows bring none",
            "0.9312",
            optional=True,
        ),
    )
    metric: ClassVar[str] = "likelihood"
    row_metric: ClassVar[str] = "likelihood of a byte"
    defaults: ClassVar[Mapping[str, Any]] = {
        **LanguageTask.defaults,
        "data": {"max_chars": 1_000_000},
        "strategy": {"name": "replay", "ratio": 0.05},
        "training": {**LanguageTask.defaults["training"], "schedule": "warmup_stable_decay"},
    }

    max_new_tokens: int = Field(
        64, ge=1, le=4096, description="Most tokens by which a served model continues a text, unless a request says"
    )

    @model_validator(mode="before")
    @classmethod
    def _writes_no_answers(cls, raw: Any) -> Any:
        for name in OF_ANSWERS if isinstance(raw, dict) else ():
            if name in raw:
                raise ValueError(
                    f"'language_modelling' learns texts and writes no answers, so it has no {name}: remove it, or "
                    "choose text_generation or dialogue"
                )
        return raw

    @property
    def reads_answers(self) -> bool:
        """True: rows are scored by how probable a model holds their texts."""
        return True

    @property
    def measures_texts(self) -> bool:
        """True: rows bring no answer."""
        return True

    def encode(
        self,
        rows: pd.DataFrame,
        tokenizer: PreTrainedTokenizerBase,
        labels: list[str],
        *,
        max_length: int,
        apart: bool = False,
    ) -> list[Encoded]:
        """Tokenise texts, each of them whole.

        Args:
            rows: with texts.
            tokenizer: of the model.
            labels: not read.
            max_length: of a block; a text that is to be continued keeps so much of its end that half a block, or
                ``max_new_tokens``, follows.
            apart: not read: a model with a decoder of its own is refused when it is built.
        """
        texts = rows["text"].tolist()
        if not texts:
            return []
        first, end = first_token(tokenizer), tokenizer.eos_token_id
        room = max(max_length // 2, max_length - self.max_new_tokens)
        tokens: list[list[int]] = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        encoded = []
        for text, own in zip(texts, tokens, strict=True):
            learned = own if end is None else [*own, int(end)]
            ids = [first, *own][: max(1, len(learned))]
            context = Written([first, *own][-room:], list(range(len(learned))), 0, max(1, len(text.encode())))
            encoded.append(Encoded(ids, learned, list(range(len(learned))), context))
        return encoded

    def extras(self, batch: list[Encoded], length: int) -> dict[str, torch.Tensor]:
        """Return ``positions`` as well as ``starts`` (rows,): how many targets of its text come before each block."""
        import torch

        starts = torch.tensor([row.context.start for row in batch])
        return {**super().extras(batch, length), "starts": starts}

    def rate(self, encoded: Encoded, loss: float) -> Prediction:
        """Return the bits that a byte of a text takes; the confidence is how probable a byte is."""
        of_byte = loss * len(encoded.targets) / encoded.context.bytes
        return Prediction(RatedText(f"{of_byte / log(2):.4f}", of_byte), exp(-of_byte))

    def general_rows(self, texts: list[str]) -> pd.DataFrame:
        """Return the texts, under ids of their own."""
        import pandas as pd

        return pd.DataFrame({"id": general_ids(texts), "text": texts})

    def row_scores(self, rows: pd.DataFrame, predictions: list[Any]) -> np.ndarray:
        """Return how probable a byte of each text is."""
        import numpy as np

        return np.array([likelihood("", answer) for answer in predictions])

    def score(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, float]:
        """Return the mean of the texts' scores."""
        return {} if rows.empty else {self.metric: fmean(likelihood("", answer) for answer in predictions)}

    def read_described(self, described: str) -> Any:
        """Return the measure."""
        return described
