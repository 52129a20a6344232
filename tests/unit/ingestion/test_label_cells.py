"""A cell of a label column becomes one label, or says why not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cl.ingestion.label_cells import (
    SEVERAL,
    STRUCTURE,
    joined_labels,
    known_spellings,
    one_spelling,
    read_label_cells,
)


def read(*cells: object) -> tuple[list[str | None], list[str | None]]:
    labels, other = read_label_cells(pd.Series(list(cells), dtype=object))
    reasons = [next((reason for reason, mask in other.items() if mask[index]), None) for index in range(len(cells))]
    return labels, reasons


@pytest.mark.parametrize(
    "cell",
    [
        "refund",
        " refund ",
        ["refund"],
        ("refund",),
        np.array(["refund"]),
        '["refund"]',
        "['refund']",
        ["refund", "refund"],
    ],
    ids=repr,
)
def test_a_list_of_one_label_is_that_label_however_it_is_written(cell) -> None:
    assert read(cell) == (["refund"], [None])


@pytest.mark.parametrize("cell", [["a", "b"], '["a", "b"]', "['a', 'b']", "[1, 2]", np.array(["a", "b"])], ids=repr)
def test_a_list_of_several_labels_is_set_aside_by_name(cell) -> None:
    assert read(cell)[1] == [SEVERAL]


@pytest.mark.parametrize("cell", [{"choices": ["a"]}, [{"text": "a"}], [["a"], ["b"]]], ids=repr)
def test_a_structure_is_no_label_and_is_not_called_missing(cell) -> None:
    assert read(cell)[1] == [STRUCTURE]


@pytest.mark.parametrize("cell", [None, float("nan"), "", "  ", [], "[]", [None]], ids=repr)
def test_a_cell_without_a_label_has_none(cell) -> None:
    assert read(cell) == ([None], [None])


@pytest.mark.parametrize("cell", ["[urgent] refund", "[not json", "a [b]", "[]x"])
def test_brackets_alone_make_no_list(cell) -> None:
    assert read(cell) == ([cell], [None])


@pytest.mark.parametrize(
    ("spellings", "label"),
    [
        (["1", "1.0", "1.00"], "1"),
        (["True", "true", "TRUE"], "True"),
        (["false", "False"], "False"),
        (["-2", "-2.0"], "-2"),
        (["0", "0.0"], "0"),
    ],
)
def test_spellings_of_one_value_are_one_class(spellings, label) -> None:
    assert set(one_spelling(spellings, {})) == {label}
    known = known_spellings([spellings[-1]])
    assert set(one_spelling(spellings, known)) == {spellings[-1]}, "the spelling that the stream has is kept"


def test_spellings_that_are_classes_of_their_own_already_stay_what_they_are() -> None:
    assert one_spelling(["True", "true", "TRUE"], known_spellings({"True", "true"}))[:2] == ["True", "true"]


@pytest.mark.parametrize("label", ["1.10", "1.1", "007", "v2.0", "1e3", "truee", "yes", "1.0.0", None])
def test_other_labels_are_left_as_they_are(label) -> None:
    assert one_spelling([label], {}) == [label]


@pytest.mark.parametrize("joined", ["fee, loan", "fee;loan", "loan | fee", "fee,loan,box"])
def test_a_label_that_lists_labels_of_the_data_is_no_class(joined) -> None:
    assert list(joined_labels({"fee", "loan", "box", joined}, known=set())) == [joined]
    assert list(joined_labels({"fee", joined}, known={"loan", "box"})) == [joined]


@pytest.mark.parametrize(
    "name", ["black, white", "fee, other", "fee,", "fee and loan", "fee, fee", "terms; conditions"]
)
def test_a_label_with_a_comma_that_lists_no_others_is_a_class(name) -> None:
    assert joined_labels({"fee", "loan", name}, known=set()) == {}


def test_a_label_that_the_stream_has_had_before_is_a_class() -> None:
    assert joined_labels({"fee", "loan", "fee, loan"}, known={"fee, loan"}) == {}
