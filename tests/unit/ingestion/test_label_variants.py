from __future__ import annotations

import pytest

from cl.ingestion.label_variants import list_pairs, misspelt_labels, similar_labels


@pytest.mark.parametrize(
    "pair",
    [
        ("Refund", "refund"),
        ("late fee", "late  fee"),
        ("late fee", "latefee"),
        ("late fee", "late\u00a0fee"),
        ("caf\u00e9", "cafe\u0301"),
        ("Stra\u00dfe", "STRASSE"),
        ("fee", "f\u200bee"),
        ("fee", "\uff46\uff45\uff45"),
    ],
)
def test_two_labels_that_people_take_for_the_same_are_noticed(pair) -> None:
    assert similar_labels(set(pair), known=set()) == [tuple(sorted(pair))]
    known, new = pair
    assert similar_labels({new}, known={known, "loan"}) == [(known, new)]
    assert similar_labels(set(pair), known=set(pair)) == []


@pytest.mark.parametrize("pair", [("fee", "fees"), ("cafe", "caf\u00e9"), ("a-b", "a_b"), ("loan 1", "loan 2")])
def test_other_labels_are_not(pair) -> None:
    assert similar_labels(set(pair), known=set()) == []


def test_a_notice_names_a_few_pairs_and_shows_what_cannot_be_seen() -> None:
    pairs = similar_labels({f"{name}{space}x" for name in "abcde" for space in (" ", "\u00a0")}, known=set())
    assert list_pairs(pairs) == "'a x' and 'a\\xa0x', 'b x' and 'b\\xa0x', 'c x' and 'c\\xa0x', and 2 more"
    assert len(list_pairs([("x" * 500, "X" * 500)])) < 200


@pytest.mark.parametrize("slip", ["refnud", "refun", "refundd", "refynd", "eefund"])
def test_a_rare_new_label_that_is_a_slip_away_from_another_is_noticed(slip) -> None:
    assert misspelt_labels({"refund": 40, slip: 1}, known=()) == [("refund", slip)]
    assert misspelt_labels({slip: 2}, known={"refund"}) == [("refund", slip)]


@pytest.mark.parametrize("other", ["refunds plus", "rebund1", "loan 2", "deposit", "re fund"])
def test_a_rare_label_of_its_own_is_not(other) -> None:
    assert misspelt_labels({"refund": 40, "loan 1": 40, other: 1}, known=()) == []


def test_a_frequent_label_and_a_known_one_are_no_slips() -> None:
    assert misspelt_labels({"refund": 40, "refnud": 40}, known=()) == []
    assert misspelt_labels({"refund": 40, "refnud": 1}, known={"refnud"}) == []
