"""Which token comes next, and what of a text is sure while its tokens come."""

from __future__ import annotations

import pytest
import torch

from cl.models.decoding import Choosing, Decoding, GrowingText

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
