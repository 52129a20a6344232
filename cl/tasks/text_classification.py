"""Text classification: one label for each text, from the mean of the encoder's states."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cl.tasks import Batch, Column, Encoded, Pooling, Schema, ValueKind, text_ids
from cl.tasks._single_label import SingleLabel

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from transformers import PreTrainedTokenizerBase


class TextClassification(SingleLabel):
    """One label for each text.

    The states of all real tokens are averaged (Reimers and Gurevych, 2019, section 3), as sentence encoders
    are trained to; padding is left out of the mean.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({'label': ['fee', 'loan']})
    >>> TextClassification().row_scores(rows, ['fee', 'fee']).tolist()
    [1.0, 0.0]
    """

    schema: ClassVar[Schema] = Schema(
        inputs=(Column("text", ValueKind.TEXT, "The text", "where is my parcel?"),),
        answer=Column("label", ValueKind.LABEL, "The label", "parcel_status"),
    )

    def encode(
        self, rows: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, labels: list[str], *, max_length: int
    ) -> list[Encoded]:
        """Tokenise texts; one of which the tokenizer leaves nothing becomes the unknown token."""
        ids = text_ids(list(rows["text"]), tokenizer, max_length=max_length)
        indices = self.label_indices(rows, labels)
        return [Encoded(row_ids, [index], [0]) for row_ids, index in zip(ids, indices, strict=True)]

    def features(self, states: torch.Tensor, batch: Batch, pool: Pooling) -> torch.Tensor:
        """Return (rows, width): each text's states, pooled."""
        return pool(states, batch.mask)

    def texts(self, rows: pd.DataFrame) -> pd.Series:
        """Return the texts."""
        return rows["text"]
