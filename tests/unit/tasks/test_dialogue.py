from __future__ import annotations

import pandas as pd
import pytest

from cl.config import Config
from cl.ingestion.check_rows import check_rows
from cl.tasks import IGNORED, conversation_problem
from cl.tasks.dialogue import Dialogue
from cl.testing import tiny_tokenizer
from tests.unit.tasks.test_prompts import CHAT, said

ASKED = [said("user", "hi"), said("assistant", "yes"), said("user", "why")]


def learned(task: Dialogue, *, max_length: int = 64, template: str | None = CHAT) -> str:
    """The tokens that a row's targets name, in order; the token before each must be where it is written."""
    tokenizer = tiny_tokenizer(chat_template=template)
    rows = pd.DataFrame({"messages": [ASKED], "completion": ["so"]})
    (row,) = task.encode(rows, tokenizer, ["text"], max_length=max_length)
    assert all(
        row.input_ids[position + 1] == target
        for position, target in zip(row.context.positions, row.targets, strict=True)
        if target != IGNORED
    )
    return "".join(tokenizer.convert_ids_to_tokens([id for id in row.targets if id != IGNORED])).replace("</s>", "!")


def test_all_turns_of_the_assistant_are_learned_or_the_last_alone() -> None:
    assert learned(Dialogue()) == "yes!so!"
    assert learned(Dialogue(learned_turns="last")) == "so!"
    assert learned(Dialogue(), template=None) == "yes!so!"


def test_a_conversation_that_is_too_long_loses_its_beginning_and_what_was_learned_there() -> None:
    assert learned(Dialogue(max_new_tokens=4), max_length=12) == "so!"


def test_what_is_read_before_the_answer_is_the_same_in_training_and_in_answering() -> None:
    task, tokenizer = Dialogue(instruction="be kind"), tiny_tokenizer(chat_template=CHAT)
    rows = pd.DataFrame({"messages": [ASKED], "completion": ["so"]})
    (trained,) = task.encode(rows, tokenizer, ["text"], max_length=96)
    (asked,) = task.encode(rows[["messages"]], tokenizer, ["text"], max_length=96)
    assert trained.context.prompt == asked.context.prompt == asked.input_ids and not asked.targets


@pytest.mark.parametrize(
    ("turns", "problem"),
    [
        ("hi", "no list of turns"),
        ([{"role": "user"}], "no list of turns"),
        ([said("human", "hi")], "a role that is not"),
        ([said("user", " ")], "a turn without content"),
        ([said("assistant", "hi")], "no turn of the user"),
        ([said("user", "hi"), said("system", "be kind")], "a turn of the system"),
        ([said("user", "hi"), said("assistant", "yes")], "it ends with a turn of the assistant"),
    ],
)
def test_what_is_no_conversation_is_named(turns, problem) -> None:
    assert (conversation_problem(turns) or "").startswith(problem)


def test_the_last_turn_is_the_answer_where_a_row_brings_no_other() -> None:
    whole = [*ASKED, said("assistant", "so")]
    rows = pd.DataFrame({"id": ["1", "2", "3"], "messages": [whole, ASKED, whole], "completion": [None, "no", "no"]})
    checked = check_rows(rows, Config(task="dialogue"), Dialogue())
    assert checked.good["messages"].tolist() == [ASKED, ASKED] and checked.good["completion"].tolist() == ["so", "no"]
    assert checked.bad["reason"].tolist() == ["messages: it ends with a turn of the assistant"]


def test_a_turn_that_is_too_long_is_named() -> None:
    rows = pd.DataFrame({"id": ["1"], "messages": [[said("user", "hi" * 20)]], "completion": ["so"]})
    checked = check_rows(rows, Config(task="dialogue", data={"max_chars": 30}), Dialogue())
    assert checked.bad["reason"].tolist() == ["messages too long"]
