from __future__ import annotations

import pandas as pd
import pytest

from cl.config import Config
from cl.ingestion.check_rows import check_rows
from cl.tasks import IGNORED, conversation_problem
from cl.tasks.dialogue import Dialogue
from cl.tasks.text_generation import TextGeneration
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


def read_of(task, rows: pd.DataFrame, *, max_length: int, template: str | None) -> str:
    """What is read of a row before its answer."""
    tokenizer = tiny_tokenizer(chat_template=template)
    (row,) = task.encode(rows, tokenizer, ["text"], max_length=max_length)
    assert len(row.input_ids) <= max_length
    for position, target in zip(row.context.positions, row.targets, strict=True):
        assert row.input_ids[position + 1] == target
    return "".join(tokenizer.convert_ids_to_tokens(row.context.prompt)).replace("</s>", "!").replace("<unk>", "%")


@pytest.mark.parametrize("template", [CHAT, None])
def test_a_conversation_that_is_too_long_keeps_its_system_turn(template) -> None:
    system, long = said("system", "be kind"), [*ASKED[:2], *ASKED]
    rows = pd.DataFrame({"messages": [[system, *long]], "completion": ["so"]})
    whole = read_of(Dialogue(max_new_tokens=4), rows, max_length=500, template=template)
    begins = whole[: whole.index("be kind") + len("be kind") + 1]
    room = len(whole) - 6
    cut = read_of(Dialogue(max_new_tokens=4), rows, max_length=room + 4, template=template)
    assert cut == begins + whole[len(begins) + 6 :], "six tokens after the system turn are gone"
    by_setting = Dialogue(max_new_tokens=4, instruction="be kind")
    bare = pd.DataFrame({"messages": [long], "completion": ["so"]})
    assert read_of(by_setting, bare, max_length=room + 4, template=template) == cut
    short = read_of(Dialogue(max_new_tokens=4), rows, max_length=len(begins) + 8, template=template)
    assert short == whole[-len(short) :], "a system turn longer than half of the room is lost as before"


def test_no_turn_is_learned_after_a_gap() -> None:
    """The first token after the cut was not written after the system turn."""
    tokenizer, task = tiny_tokenizer(chat_template=CHAT), Dialogue(max_new_tokens=4)
    turns = [said("system", "x"), said("user", "hi"), said("assistant", "abcdefgh"), said("user", "why")]
    rows = pd.DataFrame({"messages": [turns], "completion": ["so"]})
    (whole,) = task.encode(rows, tokenizer, ["text"], max_length=200)
    gaps = 0
    for max_length in range(16, len(whole.input_ids)):
        (row,) = task.encode(rows, tokenizer, ["text"], max_length=max_length)
        ids, texts = row.input_ids, "".join(tokenizer.convert_ids_to_tokens(row.input_ids))
        for position, target in zip(row.context.positions, row.targets, strict=True):
            assert ids[position + 1] == target
            before = "".join(tokenizer.convert_ids_to_tokens(ids[max(0, position) : position + 2]))
            assert before in "".join(tokenizer.convert_ids_to_tokens(whole.input_ids)), texts
        gaps += "x" in texts
    assert gaps


@pytest.mark.parametrize("template", [CHAT, None])
def test_a_prompt_that_is_too_long_keeps_the_instruction(template) -> None:
    task = TextGeneration(instruction="be kind", max_new_tokens=4)
    rows = pd.DataFrame({"prompt": ["abcdefghijklmnopqrstuvwxyz"], "completion": ["so"]})
    whole = read_of(task, rows, max_length=500, template=template)
    cut = read_of(task, rows, max_length=len(whole), template=template)
    assert "be kind" in cut and len(cut) == len(whole) - 4 and cut[-8:] == whole[-8:]


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
