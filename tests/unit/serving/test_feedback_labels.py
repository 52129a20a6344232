"""Feedback with a label that is new to the model is taken, confirmed or refused, as configured."""

from __future__ import annotations

import pytest

from cl.serving.errors import RequestError
from cl.serving.feedback_labels import check_feedback_label, known_labels
from cl.tasks import ValueKind

KNOWN = ["refund", "late fee", "caf\u00e9"]


@pytest.mark.parametrize("new_labels", ["accept", "confirm", "refuse"])
@pytest.mark.parametrize("label", ["refund", " refund ", "cafe\u0301"])
def test_a_known_label_is_always_taken(label, new_labels) -> None:
    check_feedback_label(ValueKind.LABEL, label, KNOWN, new_labels=new_labels, confirmed=False)


@pytest.mark.parametrize("label", ["refnud", "a brand new label"])
@pytest.mark.parametrize(
    ("new_labels", "confirmed", "taken"),
    [
        ("accept", False, True),
        ("confirm", False, False),
        ("confirm", True, True),
        ("refuse", False, False),
        ("refuse", True, False),
    ],
)
def test_a_new_label_is_taken_as_configured(label, new_labels, confirmed, taken) -> None:
    if taken:
        check_feedback_label(ValueKind.LABEL, label, KNOWN, new_labels=new_labels, confirmed=confirmed)
        return
    with pytest.raises(RequestError) as refused:
        check_feedback_label(ValueKind.LABEL, label, KNOWN, new_labels=new_labels, confirmed=confirmed)
    assert refused.value.status == 422 and label in str(refused.value)
    assert ('"new_label": true' in str(refused.value)) == (new_labels == "confirm")


def test_the_closest_known_label_is_named() -> None:
    with pytest.raises(RequestError, match="did you mean 'refund'"):
        check_feedback_label(ValueKind.LABEL, "refnud", KNOWN, new_labels="refuse", confirmed=False)


def test_a_tag_of_a_new_type_is_new_and_outside_is_not() -> None:
    known = ["B-PER", "I-PER"]
    check_feedback_label(ValueKind.TAGS, ["O", "B-PER"], known, new_labels="refuse", confirmed=False)
    with pytest.raises(RequestError, match="'B-LOC'"):
        check_feedback_label(ValueKind.TAGS, ["O", "B-LOC"], known, new_labels="refuse", confirmed=False)


def test_a_long_label_makes_no_long_message() -> None:
    with pytest.raises(RequestError) as refused:
        check_feedback_label(ValueKind.LABEL, "x" * 100_000, KNOWN, new_labels="refuse", confirmed=False)
    assert len(str(refused.value)) < 400


def test_a_label_that_was_renamed_is_known_and_one_that_has_ended_is_refused() -> None:
    former = {"charge": "late fee", "fax": None}
    assert known_labels(ValueKind.LABEL, "charge", KNOWN, former) == [*KNOWN, "charge", "fax"]
    with pytest.raises(RequestError, match="'fax' is no longer used") as refused:
        known_labels(ValueKind.LABEL, " fax ", KNOWN, former)
    assert refused.value.status == 422
    known = known_labels(ValueKind.TAGS, ["B-CITY"], ["B-PLACE", "I-PLACE"], {"CITY": "PLACE"})
    assert {"B-CITY", "I-CITY"} <= set(known)
