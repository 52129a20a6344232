"""Which token comes next, and what of a text is sure while its tokens come."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from transformers import AutoTokenizer

from cl.models.decoding import HALF, Choosing, Decoding, GrowingText
from tests.support.writing_shop import made_byte_writer

LOGITS = torch.tensor([1.0, 3.0, 2.0, -1.0])


def letters(tokens: list[int]) -> str:
    return bytes(tokens).decode(errors="replace")


@pytest.mark.parametrize(
    ("said", "stop", "text", "stopped"),
    [
        ("  a good day \n", [], "a good day", False),
        ("héllo wörld", [], "héllo wörld", False),
        ("one. Two. Three", [". T"], "one", True),
        ("one. two", [". T"], "one. two", False),
        ("a,b;c", [";", ","], "a", True),
        ("line\nline", ["\n"], "line", True),
        ("\n\n", [], "", False),
    ],
)
def test_pieces_add_up_to_the_text_before_the_first_stop_string(said, stop, text, stopped) -> None:
    growing = GrowingText(letters, stop)
    pieces = [growing.add(token) for token in said.encode()]
    pieces.append(growing.end())
    assert "".join(pieces) == growing.whole == text
    assert growing.stopped == stopped
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


def test_what_may_begin_a_stop_string_waits_for_what_follows() -> None:
    growing = GrowingText(letters, ["END"])
    assert [growing.add(token) for token in b"xENx"] == ["x", "", "", "ENx"]


def test_a_seed_draws_the_same_tokens_and_another_seed_others() -> None:
    def drawn(seed: int) -> list[int]:
        choosing = Choosing(Decoding(temperature=1.5, seed=seed))
        return [choosing.choose(LOGITS) for _ in range(40)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert len(set(drawn(1))) > 2


def test_top_p_draws_from_the_likeliest_tokens_only() -> None:
    choosing = Choosing(Decoding(temperature=1.0, top_p=0.7, seed=1))
    assert {choosing.choose(LOGITS) for _ in range(60)} == {1, 2}
    choosing = Choosing(Decoding(temperature=1.0, top_p=1e-9, seed=1))
    assert {choosing.choose(LOGITS) for _ in range(20)} == {1}


def test_temperature_draws_as_often_as_the_softmax_says() -> None:
    choosing = Choosing(Decoding(temperature=2.0, seed=0))
    counts = torch.bincount(torch.tensor([choosing.choose(LOGITS) for _ in range(4000)]), minlength=4) / 4000
    assert torch.allclose(counts, (LOGITS / 2.0).softmax(-1), atol=0.03)


@pytest.mark.parametrize(
    "text", ["Größe: 12 €, naïve café 🙂 – 東京タワー", "plain words, one. after! another?", " a  b\n\tc "]
)
def test_pieces_of_a_byte_tokenizer_add_up_to_what_it_decodes_at_once(tmp_path, text) -> None:
    tokenizer = AutoTokenizer.from_pretrained(made_byte_writer(tmp_path / "bytes"))

    def decode(tokens: Sequence[int]) -> str:
        return tokenizer.decode(list(tokens), skip_special_tokens=True)

    growing, tokens = GrowingText(decode), tokenizer(text, add_special_tokens=False).input_ids
    pieces = [growing.add(token) for token in tokens]
    assert all(HALF not in piece for piece in pieces) and len([piece for piece in pieces if piece]) > 2
    assert "".join(pieces) + growing.end() == growing.whole == decode(tokens).strip()


def test_pieces_of_words_have_the_blanks_between_them(tiny_model) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    growing = GrowingText(lambda tokens: tokenizer.decode(list(tokens), skip_special_tokens=True))
    tokens = tokenizer("where is my cards please help", add_special_tokens=False).input_ids
    assert "".join(growing.add(token) for token in tokens) + growing.end() == "where is my cards please help"


def test_a_long_answer_is_not_decoded_again_with_each_token() -> None:
    lengths = list[int]()

    def decode(tokens: Sequence[int]) -> str:
        lengths.append(len(tokens))
        return "".join(map(chr, tokens))

    growing = GrowingText(decode)
    for _ in range(500):
        growing.add(ord("a"))
    assert growing.whole == "a" * 500 and max(lengths) <= 3
