from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd

from cl.training.buffers import Offer, View
from cl.training.buffers.herding import Herding, choose_herd


def rows(**places: tuple[str, float]) -> pd.DataFrame:
    """Rows on the unit circle: an id, its class and its angle."""
    return pd.DataFrame(
        [{"id": name, "class": kind, "angle": angle} for name, (kind, angle) in places.items()],
    )


def keep(kept, new, budget, looked=None):
    def embeddings(rows: pd.DataFrame) -> np.ndarray:
        if looked is not None:
            looked.append(list(rows["id"]))
        return 7.0 * np.stack([np.cos(rows["angle"]), np.sin(rows["angle"])], axis=1)

    view = View(embeddings, lambda rows: np.zeros(len(rows)))
    return Herding().keep(Offer(kept, new, budget, 0, np.random.default_rng(0), view))


def test_the_order_by_hand() -> None:
    # the mean is 4.25: 5 is nearest; then with 3 it is 4, with 0 2.5, with 9 7; then with 9 17/3, with 0 8/3
    assert choose_herd(np.array([[0.0], [3.0], [5.0], [9.0]]), 4) == [2, 1, 3, 0]
    assert choose_herd(np.zeros((0, 2)), 3) == [] and choose_herd(np.ones((3, 2)), 0) == []


def test_each_row_is_the_best_that_could_follow() -> None:
    points = np.random.default_rng(0).normal(size=(6, 3))
    order = choose_herd(points, 4)
    for number in range(1, 5):
        prefix = order[: number - 1]
        means = {
            last: np.linalg.norm(points.mean(0) - points[[*prefix, last]].mean(0))
            for (last,) in permutations(set(range(6)) - set(prefix), 1)
        }
        assert order[number - 1] == min(means, key=means.get)


def test_the_length_of_an_embedding_does_not_matter_and_the_middle_comes_first() -> None:
    kept = keep(None, rows(a=("x", 0.0), b=("x", 0.5), c=("x", 1.0)), 1)
    assert list(kept["id"]) == ["b"]


def test_shares_are_equal_and_shrinking_keeps_the_first() -> None:
    looked: list[list[str]] = []
    first = keep(None, rows(a=("x", 0.0), b=("x", 0.5), c=("x", 1.1), d=("x", 0.6)), 4, looked)
    order = list(first["id"])
    second = keep(first, rows(e=("y", 0.0), f=("y", 0.1), g=("y", 0.3)), 4, looked)
    assert [one for one in second["id"] if one in "abcd"] == order[:2]
    third = keep(second, rows(h=("z", 0.0)), 3, looked)
    assert [one for one in third["id"] if one in "abcd"] == order[:1] and set(third["class"]) == set("xyz")
    assert looked == [list("abcd"), list("efg"), ["h"]]  # old rows are not looked at again


def test_a_class_that_comes_back_takes_turns() -> None:
    first = keep(None, rows(a=("x", 0.0), b=("x", 0.5), c=("x", 1.0)), 3)
    again = keep(first, rows(d=("x", 2.0), e=("x", 2.2), f=("x", 2.6)), 4)
    # the new ones' mean lies at 2.26: e is nearest, and f is on its other side
    assert list(again["id"]) == [first["id"].iloc[0], "e", first["id"].iloc[1], "f"]
