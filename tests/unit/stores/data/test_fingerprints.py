"""Fingerprints never change: what a project has stored is known again, and stays in its split."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from cl import plugins
from cl.config import SplitShares, parse
from cl.ingestion.check_rows import check_rows
from cl.ingestion.ingest import assign_splits
from cl.stores.data.fingerprints import Fingerprints, fingerprints
from cl.tasks import Column, Schema, Task, ValueKind

TEXTS = pd.DataFrame(
    [("r1", "Where is  my Parcel?!", "status"), ("r2", "café ü", "Late fee"), ("r3", "where is my parcel", "status")],
    columns=["id", "text", "label"],
)
SENTENCES = pd.DataFrame(
    [("t1", ["Anna", "lives", "in", "York"], ["B-PER", "O", "O", "B-LOC"]), ("t2", ["Café", "!"], ["O", "O"])],
    columns=["id", "tokens", "tags"],
)
HASHES = {
    "text_classification": {
        "ids": "30bd695b0c8add83 6afbca15d5cadae8 d1d91567019d52a1",
        "contents": "b2d03ae1c47a644e e5f7d75f2cea43a6 373bd791db2da542",
        "inputs": "915556481ec31101 42556221c89aff63 48c0b79e40184793",
        "groups": "48c0b79e40184793 42556221c89aff63 48c0b79e40184793",
    },
    "token_classification": {
        "ids": "29cff772c320e9cb 5a2bbd74ff90391a",
        "contents": "effc87ae582f71fd 00d103300b53e49d",
        "inputs": "0a1082e038b5d0ef c31f52b74088872a",
        "groups": "d5978fdc4fffe833 e3d79231bda27757",
    },
}
"""As releases before schemas computed them."""
IDS = {
    "text_classification": [
        "3d02470c3cdbaf055b0206e70607fb50",
        "eab01584558644deb3f196dd6a4012b2",
        "5f4b37ef5f5feded4cc2d614f2ab7359",
    ],
    "token_classification": ["a7d7ce2e41b90daf563fe49a6c132e52", "49bba702190487d0dd7562c0042568df"],
}
ROWS = {"text_classification": TEXTS, "token_classification": SENTENCES}


def hashes(prints: Fingerprints, kind: str) -> list[str]:
    return [f"{int(value):016x}" for value in getattr(prints, kind)]


@pytest.mark.parametrize("task", ROWS)
def test_texts_and_sentences_keep_the_fingerprints_that_they_have_always_had(task) -> None:
    prints = fingerprints(ROWS[task], plugins.build(Task, task).schema)
    assert {kind: " ".join(hashes(prints, kind)) for kind in HASHES[task]} == HASHES[task]
    expected = {"text_classification": [1, 1, 1], "token_classification": [0, 0]}[task]
    assert assign_splits(prints.groups, SplitShares()).tolist() == expected


@pytest.mark.parametrize("task", ROWS)
def test_and_the_ids_that_their_content_makes(task) -> None:
    config = parse({"task": task, "data": {"id": None}}, where="test")
    good = check_rows(ROWS[task].drop(columns="id"), config, plugins.build(Task, task)).good
    assert good["id"].tolist() == IDS[task]


def of(kind: ValueKind, *values: Any) -> list[str]:
    schema = Schema((Column("it", kind, "", None),), Column("label", ValueKind.LABEL, "", ""))
    rows = pd.DataFrame({"id": list(map(str, range(len(values)))), "it": list(values), "label": "a"})
    return hashes(fingerprints(rows, schema), "inputs")


def test_values_are_alike_if_they_mean_the_same() -> None:
    labels = of(ValueKind.LABELS, ["fee", "loan"], ["loan", "fee"], ["fee"], [])
    assert labels[0] == labels[1] and len(set(labels)) == 3
    assert len(set(of(ValueKind.TEXTS, ["a", "b"], ["b", "a"], ["ab"], ["a, b"], []))) == 5, "their order counts"
    assert len(set(of(ValueKind.SPAN, [1, 23], [12, 3], [1, 2]))) == 3
    assert len(set(of(ValueKind.NUMBERS, [], None, [0]))) == 3
