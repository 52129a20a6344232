"""Rows that are left out although their id is new are named, with the experience that has their text."""

from __future__ import annotations

import json

import pytest

from cl.commands.init import scaffold
from cl.reports.terminal.quarantine import SEEN, seen_lines
from tests.support.command import command


@pytest.fixture
def shop(tmp_path):
    root = scaffold(tmp_path / "shop", "name: shop\ndata: {chunk_rows: 4}\n").root

    def ingest(name: str, rows: list[tuple[str, int]], *more: str):
        """Ingest rows, each an id and the number of its text."""
        lines = [f"{id},where is my parcel number {number},{'late' if number % 2 else 'lost'}" for id, number in rows]
        (tmp_path / f"{name}.csv").write_text("\n".join(["id,text,label", *lines]) + "\n", encoding="utf-8")
        said = command("ingest", str(tmp_path / f"{name}.csv"), "-p", str(root), *more)
        assert said.code == 0, said
        return said.out

    ingest("march", [(f"a{number}", number) for number in range(10)])
    ingest("april", [(f"b{number}", number) for number in range(10, 20)])
    return ingest


def test_each_is_named_with_the_experience_that_has_its_text(shop) -> None:
    rows = [("c1", 1), ("new1", 21), ("c11", 11), ("a3", 3), ("new2", 22), ("c5", 5), ("new3", 23)]
    (made,) = json.loads(shop("may", rows, "--json"))
    assert made["seen"] == 4, "one of them is a row that is read again"
    assert made["seen_texts"] == [
        {"id": "c1", "experience": "0001-march"},
        {"id": "c11", "experience": "0002-april"},
        {"id": "c5", "experience": "0001-march"},
    ]


def test_they_are_named_where_nothing_is_new_and_a_file_that_is_read_again_is_not(shop) -> None:
    said = shop("may", [("c1", 1), ("c12", 12)])
    assert "nothing new: 2 seen before" in said
    assert "c1 (0001-march), c12 (0002-april)" in said
    assert "new id" not in shop("again", [(f"a{number}", number) for number in range(10)])


def test_the_line_is_bounded_and_says_how_many_are_not_shown() -> None:
    texts = [{"id": "x" * 1_000, "experience": "0001-march"}] * (SEEN + 3)
    (line,) = seen_lines(texts, in_json=True)
    assert len(line) < 500 and line.endswith("and 3 more; --json lists all")
    assert seen_lines([], in_json=True) == []
