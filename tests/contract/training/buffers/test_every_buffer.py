"""What holds for every file in cl/training/buffers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cl import plugins
from cl.training.buffers import Offer, View
from cl.training.buffers.class_balanced import equal_shares

VIEW = View(
    embeddings=lambda rows: np.random.default_rng(0).normal(size=(len(rows), 3)),
    margins=lambda rows: np.linspace(0, 1, len(rows)),
)


def rows(labels: list[str], start: int = 0) -> pd.DataFrame:
    return pd.DataFrame({"id": [str(start + at) for at in range(len(labels))], "class": labels})


@pytest.mark.parametrize("name", plugins.names("buffers"))
def test_keeps_what_fits_and_never_more_than_the_budget(name) -> None:
    buffer, rng, kept, seen = plugins.build("buffers", name), np.random.default_rng(0), None, 0
    for batch in range(5):
        new = rows(["a", "b", "c", "a"], start=batch * 4)
        kept = buffer.keep(Offer(kept, new, 10, seen, rng, VIEW))
        seen += len(new)
        assert len(kept) == min(seen, 10)
        assert kept["id"].is_unique


@pytest.mark.parametrize("name", plugins.names("buffers"))
def test_a_budget_smaller_than_the_classes_still_holds(name) -> None:
    buffer = plugins.build("buffers", name)
    kept = buffer.keep(Offer(None, rows(list("abcdefgh")), 3, 0, np.random.default_rng(0), VIEW))
    assert len(kept) == 3


@pytest.mark.parametrize("name", plugins.names("buffers"))
def test_shrinks_when_the_budget_does(name) -> None:
    buffer, rng = plugins.build("buffers", name), np.random.default_rng(0)
    kept = buffer.keep(Offer(None, rows(list("aabb")), 4, 0, rng, VIEW))
    smaller = buffer.keep(Offer(kept, kept.iloc[:0], 2, 4, rng, VIEW))
    assert len(smaller) == 2 and set(smaller["id"]) < set(kept["id"])
    assert buffer.keep(Offer(kept, kept.iloc[:0], 0, 4, rng, VIEW)).empty


def test_reservoir_gives_every_row_the_same_chance() -> None:
    buffer, hits, rounds = plugins.build("buffers", "reservoir"), np.zeros(40), 600
    for seed in range(rounds):
        rng, kept = np.random.default_rng(seed), None
        for batch in range(4):
            kept = buffer.keep(Offer(kept, rows(["a"] * 10, start=batch * 10), 10, batch * 10, rng, VIEW))
        hits[kept["id"].astype(int)] += 1
    expected, spread = rounds * 10 / 40, np.sqrt(rounds * 0.25 * 0.75)
    assert np.all(np.abs(hits - expected) < 4.5 * spread)


def test_equal_shares_give_to_others_what_a_rare_class_cannot_fill() -> None:
    assert equal_shares({"a": 10, "b": 2, "c": 10}, 12) == {"b": 2, "a": 5, "c": 5}
    assert equal_shares({"a": 1}, 5) == {"a": 1}
    assert equal_shares({"a": 9, "b": 9}, 2) == {"a": 1, "b": 1}


def test_with_fewer_places_than_classes_each_class_has_the_same_chance_whatever_its_size(caplog) -> None:
    sizes, hits = [1, 100, 50, 1], np.zeros(4)
    for draw in range(400):
        names = [f"{draw}-{index}" for index in range(4)]
        shares = equal_shares(dict(zip(names, sizes, strict=True)), 2)
        assert sorted(shares.values()) == [0, 0, 1, 1]
        hits += [shares[name] for name in names]
    assert np.all(np.abs(hits - 200) < 4.5 * 10)  # 10 is the standard deviation
    assert "room for 2 rows cannot hold one of each of 4 classes" in caplog.text


@pytest.mark.parametrize("name", sorted({*plugins.names("buffers")} - {"reservoir"}))
def test_old_classes_survive_new_ones_in_a_buffer_smaller_than_either(name) -> None:
    buffer, rng = plugins.build("buffers", name), np.random.default_rng(0)
    kept = buffer.keep(Offer(None, rows([f"old{at}" for at in range(10)]), 10, 0, rng, VIEW))
    assert len(kept) == 10
    survivors = []
    for update in range(3):
        new = rows([f"new{update}{at % 10}" for at in range(1_000)], start=100 + 1_000 * update)
        kept = buffer.keep(Offer(kept, new, 10, 10 + 1_000 * update, rng, VIEW))
        assert len(kept) == 10 and kept["class"].is_unique
        survivors.append(int(kept["class"].str.startswith("old").sum()))
    assert survivors[0] in range(2, 9) and survivors == sorted(survivors, reverse=True) and survivors[1]
