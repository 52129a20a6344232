"""Dialogue: the next turn of a conversation, by a language model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from cl.tasks import Column, Schema, ValueKind, as_one_line
from cl.tasks._conversations import as_turns
from cl.tasks._prompts import ASSISTANT, Message, PromptPart, conversation_parts, system_beginning
from cl.tasks._written_answers import WrittenAnswers

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedTokenizerBase


class Dialogue(WrittenAnswers):
    """The assistant's next turn of a conversation. The score of a row compares it with the true one.

    The loss is that of all turns of the assistant, or of the last alone.

    >>> import pandas as pd
    >>> talk = [{"role": "user", "content": "where is it?"}]
    >>> Dialogue().texts(pd.DataFrame({"messages": [talk]})).tolist()
    ['user: where is it?']
    """

    schema: ClassVar[Schema] = Schema(
        inputs=(
            Column(
                "messages",
                ValueKind.MESSAGES,
                "The conversation so far: turns with role (system, user or assistant) and content",
                [{"role": "user", "content": "Where is my parcel?"}],
            ),
        ),
        answer=Column("completion", ValueKind.TEXT, "The assistant's next turn", "It is on its way."),
    )

    defaults: ClassVar[Mapping[str, Any]] = {
        **WrittenAnswers.defaults,
        "data": {"max_chars": 20_000},
        "model": {**WrittenAnswers.defaults["model"], "max_length": 512},
    }

    instruction: str = Field("", description="System turn of conversations that have none, such as 'Be brief.'")
    learned_turns: Literal["all", "last"] = Field(
        "all", description="Turns of the assistant that are learned: all of a conversation, or the last"
    )

    def parts(self, asked: Any, answer: str | None, tokenizer: PreTrainedTokenizerBase) -> list[PromptPart]:
        """Return the conversation, in which turns of the assistant are learned, and the answer."""
        turns = self._turns(asked)
        turns += [] if answer is None else [{"role": ASSISTANT, "content": answer}]
        parts = conversation_parts(turns, tokenizer, template=self.template)
        if self.learned_turns == "all":
            return parts
        return [*(PromptPart(part.text, False) for part in parts[:-1]), parts[-1]]

    def beginning(self, asked: Any, tokenizer: PreTrainedTokenizerBase) -> str:
        """Return the system turn, if the conversation has one."""
        first = self._turns(asked)[0]
        if first["role"] != "system":
            return ""
        content = first["content"]
        return system_beginning(content, tokenizer, template=self.template, plain=f"system: {content}\n")

    def as_plain_text(self, asked: Any) -> str:
        """Return a line for each turn."""
        return "\n".join(f"{turn['role']}: {turn['content']}" for turn in self._turns(asked))

    def _turns(self, asked: Any) -> list[Message]:
        turns = as_turns(asked)
        if self.instruction and turns[0]["role"] != "system":
            return [{"role": "system", "content": self.instruction}, *turns]
        return turns

    def texts(self, rows: pd.DataFrame) -> pd.Series:
        """Return each conversation in one line."""
        return rows["messages"].map(lambda turns: as_one_line(ValueKind.MESSAGES, turns))
