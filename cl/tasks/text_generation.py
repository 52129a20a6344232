"""Text generation: an answer in words to a prompt, such as a translation, a summary or a reply, by a language model."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cl.tasks import Column, Schema, ValueKind
from cl.tasks._prompts import PromptPart, parts_of, system_beginning
from cl.tasks._written_answers import WrittenAnswers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class TextGeneration(WrittenAnswers):
    """An answer in words, written by a causal model (SmolLM2, Llama) or by an encoder and decoder (T5, BART, Marian).

    The loss is that of the answer's tokens alone. The score of a row compares the answer with the true one.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({'completion': ['guten tag', 'auf wiedersehen']})
    >>> TextGeneration(metric='rouge_l').row_scores(rows, ['guten abend', 'auf wiedersehen']).tolist()
    [0.5, 1.0]
    """

    schema: ClassVar[Schema] = Schema(
        inputs=(Column("prompt", ValueKind.TEXT, "What is asked", "Translate into German: good day"),),
        answer=Column("completion", ValueKind.TEXT, "The answer", "guten Tag"),
    )

    instruction: str = Field("", description="What is said before each prompt, such as 'Translate into German.'")

    def parts(self, asked: str, answer: str | None, tokenizer: PreTrainedTokenizerBase) -> list[PromptPart]:
        """Return the prompt, and the answer, which is learned."""
        return parts_of(asked, answer, tokenizer, template=self.template, instruction=self.instruction)

    def beginning(self, asked: str, tokenizer: PreTrainedTokenizerBase) -> str:
        """Return the instruction, if there is one."""
        said = self.instruction
        return said and system_beginning(said, tokenizer, template=self.template, plain=f"{said}\n")

    def as_plain_text(self, asked: str) -> str:
        """Return the prompt after the instruction."""
        return f"{self.instruction} {asked}" if self.instruction else asked
