from __future__ import annotations

import pytest

from cl.config.serving import REDACTIONS, ServingLogSettings
from cl.errors import ConfigError
from cl.serving.pii import build_redactor, redact_inputs
from cl.tasks.dialogue import Dialogue


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("write to Anna.B+x@mail.example.org, please", "write to <EMAIL>, please"),
        ("call +49 (0)30 901820 or 030/1234 5678", "call <PHONE> or <PHONE>"),
        ("555-123-4567 is my number", "<PHONE> is my number"),
        ("card 4111 1111 1111 1111 was taken", "card <DIGITS> was taken"),
        ("order 12345678 of 2026-11-25 at 10:30 cost 1,299.00", "order <DIGITS> of 2026-11-25 at 10:30 cost 1,299.00"),
        ("two @ signs @@ and a 24/7 line", "two @ signs @@ and a 24/7 line"),
    ],
)
def test_what_names_a_person_is_taken_out_and_the_rest_stays(text, kept) -> None:
    assert build_redactor(REDACTIONS)(text) == kept


def test_in_a_conversation_what_is_said_is_redacted_and_who_says_it_stays() -> None:
    messages = [{"role": "user", "content": "I am anna@b.org"}]
    redacted = redact_inputs({"messages": messages}, Dialogue.schema, build_redactor(["email"]))
    assert redacted == {"messages": [{"role": "user", "content": "I am <EMAIL>"}]}


def test_long_hostile_texts_take_no_longer_than_their_length_asks_for() -> None:
    import time

    for text in ("a@" * 10_000, "+0 " * 7_000, "1-" * 10_000, "x" * 20_000 + "@"):
        begun = time.perf_counter()
        build_redactor(REDACTIONS)(text)
        assert time.perf_counter() - begun < 1.0


def test_a_function_of_ones_own_runs_too(tmp_path, monkeypatch) -> None:
    (tmp_path / "our_rules.py").write_text("def names(text):\n    return text.replace('Anna', '<NAME>')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert build_redactor(["our_rules:names", "email"])("Anna: a@b.org") == "<NAME>: <EMAIL>"


@pytest.mark.parametrize("name", ["no_such_module:f", "math:no_such", "math:pi"])
def test_a_function_that_is_not_there_is_told_at_the_start(name) -> None:
    with pytest.raises(ConfigError, match=f"serve.log.redact: '{name}'"):
        build_redactor([name])


def test_a_word_that_is_no_redaction_is_told_when_the_configuration_is_read() -> None:
    with pytest.raises(ValueError, match="no redaction 'emial'; use one of email, phone, digits, or module:function"):
        ServingLogSettings(redact=["emial"])
