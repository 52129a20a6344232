"""Conversations that the chat template of the model refuses are set aside, and training does not stop."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from transformers import AutoTokenizer

from cl.config import Config, parse
from cl.errors import ConfigError
from cl.ingestion.check_rows import check_rows
from cl.models.build import new_learner
from cl.tasks.dialogue import Dialogue
from tests.support.tiny import made_tiny_writer
from tests.unit.tasks.test_prompts import said

STRICT = (
    "{% for message in messages %}"
    "{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must take turns') }}{% endif %}"
    "{{ message.role }} {{ message.content }} [SEP] {% endfor %}{% if add_generation_prompt %}assistant {% endif %}"
)
"""As those of Llama 2, Mistral and Gemma: users and assistants take turns, and there is no system turn."""
TALKS = {
    "good": [said("user", "my card"), said("assistant", "yes"), said("user", "where")],
    "twice": [said("user", "my card"), said("user", "where")],
    "system": [said("system", "help"), said("user", "where")],
    "good too": [said("user", "my fee")],
}


@pytest.fixture
def writer(tiny_model: Path, tmp_path: Path) -> Path:
    folder = made_tiny_writer(tmp_path / "model", tiny_model)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = STRICT
    tokenizer.save_pretrained(folder)
    return folder


def config_of(model: Path | str, **task: object) -> Config:
    return parse({"task": {"name": "dialogue", **task}, "model": {"name": str(model)}}, where="test")


def rows_of(talks: dict[str, list[dict[str, str]]]) -> pd.DataFrame:
    return pd.DataFrame({"id": list(talks), "messages": list(talks.values()), "completion": "it is lost"})


def test_what_the_template_refuses_is_set_aside_in_its_words_and_the_rest_can_be_learned(writer) -> None:
    config, rows = config_of(writer), rows_of(TALKS)
    checked = check_rows(rows, config, Dialogue())
    assert checked.good["id"].tolist() == ["good", "good too"]
    reason = "messages: the chat template fails: roles must take turns"
    assert dict(zip(checked.bad["id"], checked.bad["reason"], strict=True)) == {"twice": reason, "system": reason}
    learner = new_learner(config)
    assert len(learner.encode(checked.good)) == 2
    with pytest.raises(ConfigError, match="roles must take turns"):
        learner.encode(rows[rows["id"] == "twice"])


@pytest.mark.parametrize("task", [{"template": "plain"}, {}])
def test_nothing_is_set_aside_where_no_template_is_used_or_none_is_known(task, writer) -> None:
    config = config_of(writer if task else "nobody/has-this-model", **task)
    assert len(check_rows(rows_of(TALKS), config, Dialogue(**task)).good) == 4


def test_other_reasons_come_first_and_rows_without_an_answer_are_not_rendered(writer) -> None:
    rows = rows_of({"no user": [said("assistant", "hi")], "unanswered": TALKS["twice"], "good": TALKS["good"]})
    rows["completion"] = ["a", None, "b"]
    checked = check_rows(rows, config_of(writer), Dialogue())
    assert checked.bad["reason"].tolist() == ["messages: no turn of the user", "missing completion"]


def test_a_system_turn_of_the_settings_that_the_template_refuses_is_named(writer) -> None:
    config = config_of(writer, instruction="be kind")
    checked = check_rows(rows_of(TALKS), config, Dialogue(instruction="be kind"))
    assert checked.good.empty and set(checked.bad["reason"]) == {
        "messages: the chat template fails: roles must take turns"
    }
