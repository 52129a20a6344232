from __future__ import annotations

import pandas as pd

from cl.ingestion.former_labels import under_todays_names
from cl.stores.data.label_changes import LabelChange, LabelHistory, Relabelling
from cl.tasks.token_classification import TokenClassification

ANSWER = TokenClassification().schema.answer


def rows() -> pd.DataFrame:
    tags = [["B-PRODUCT", "O"], ["O", "B-ORG"]]
    return pd.DataFrame({"id": ["1", "2"], "tags": tags, "annotated": [["PRODUCT", "EVENT"], None]})


def test_the_annotated_types_of_rows_are_renamed_along_with_their_tags() -> None:
    renamed = Relabelling({"PRODUCT": "ITEM", "EVENT": None}).rows(rows(), ANSWER)
    assert renamed["tags"].tolist() == [["B-ITEM", "O"], ["O", "B-ORG"]]
    assert renamed["annotated"].tolist() == [["ITEM"], None], "a retired type is none that was looked for"


def test_a_word_of_which_nobody_knows_stays_one() -> None:
    kept = rows().assign(tags=[["?", "B-PRODUCT"], ["O", "?"]])
    assert Relabelling({"PRODUCT": None}).rows(kept, ANSWER)["tags"].tolist() == [["?", "O"], ["O", "?"]]


def test_rows_that_come_in_under_a_former_name_are_annotated_for_the_one_of_today() -> None:
    history = LabelHistory((LabelChange.example("rename", ["PRODUCT"], ["ITEM"]),))
    today, _ = under_todays_names(rows(), ANSWER, history)
    assert today["annotated"].tolist() == [["ITEM", "EVENT"], None]
