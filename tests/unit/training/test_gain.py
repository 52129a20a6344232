"""What an update would gain: much where rows are few, little where there is nothing left to learn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from cl.records import Gain
from cl.training.gain import estimate_gain
from cl.training.train import train
from tests.support.onnx_versions import untaught, with_graph

Stream = dict[str, pd.DataFrame]


@pytest.fixture
def gain_of(tiny_config, tmp_path) -> Callable[..., Gain]:
    """What a champion that has learned all but the last experience would gain from that."""

    def estimate(stream: Stream, strategy: object = "ncm", **changes: object) -> Gain:
        config = tiny_config(strategy=strategy, **changes)
        *past, new = stream

        def rows_of(ids: list[str], split: str) -> pd.DataFrame:
            rows = [stream[id] if split == "train" else stream[id].iloc[:0] for id in ids]
            return pd.concat(rows, ignore_index=True) if rows else next(iter(stream.values())).iloc[:0]

        train(config, champion=None, new=past, past=[], rows_of=rows_of, folder=tmp_path / "champion")
        return estimate_gain(config, tmp_path / "champion", past, [new], rows_of)

    return estimate


def shuffled(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    return rows.assign(label=rows["label"].to_numpy()[np.random.default_rng(seed).permutation(len(rows))])


def test_rows_with_labels_that_were_never_learned_are_worth_learning(gain_of, sentences) -> None:
    stream = {"1": sentences(["fee", "loan"], 60, prefix="a"), "2": sentences(["card", "rate"], 60, seed=1, prefix="b")}
    gain = gain_of(stream)
    assert gain.low > 0.1 and gain.new_rows == gain.past_rows == 60


def test_a_quiet_month_after_many_rows_gains_nothing(gain_of, sentences) -> None:
    stream = {
        "1": sentences(["fee", "loan"], 1_500, prefix="a"),
        "2": sentences(["fee", "loan"], 60, seed=1, prefix="b"),
    }
    gain = gain_of(stream)
    assert gain.high < 0.01
    assert abs(gain.expected) < 0.005


def test_a_small_month_that_the_champion_gets_wrong_counts_although_it_is_few_of_all_rows(gain_of, sentences) -> None:
    stream = {
        "1": sentences(["fee", "loan"], 3_000, prefix="a"),
        "2": sentences(["card", "rate"], 24, seed=1, prefix="b").assign(label=["fee", "loan"] * 12),
    }
    gain = gain_of(stream)
    assert gain.high < 0.01 < gain.new_high and not gain.is_too_small(0.01)


def test_rows_that_come_again_on_a_saturated_model_are_too_small_a_gain(gain_of, sentences) -> None:
    first = sentences(["fee", "loan"], 1_500, prefix="a")
    again = first.sample(600, replace=True, random_state=0).reset_index(drop=True)
    gain = gain_of({"1": first, "2": again.assign(id=[f"b{row}" for row in range(len(again))])})
    assert gain.is_too_small(0.01) and not gain.is_too_small(0.0001) and not gain.is_too_small(None)


def test_few_rows_leave_it_open_whether_they_help(gain_of, sentences) -> None:
    stream = {"1": sentences(["fee", "loan"], 20, prefix="a"), "2": sentences(["fee", "loan"], 20, seed=1, prefix="b")}
    assert gain_of(stream).high > 0.01


def test_labels_that_say_nothing_promise_nothing_although_the_rows_could_be_learned_by_heart(
    gain_of, sentences
) -> None:
    """Each row is answered as if it had not been learned; if not, all of them would be right afterwards."""
    first, second = sentences(["fee", "loan"], 400, prefix="a"), sentences(["fee", "loan"], 400, seed=1, prefix="b")
    gain = gain_of({"1": shuffled(first, 1), "2": shuffled(second, 2)})
    assert gain.low < 0.05 and gain.expected < 0.1


def test_a_trained_champion_and_tagged_sentences_are_probed_as_well(gain_of, sentences) -> None:
    assert gain_of({"1": sentences(["fee"], 20), "2": sentences(["loan"], 20, prefix="b")}, strategy="naive").high > 0
    rows = pd.DataFrame(
        [
            {
                "tokens": ["anna", "lives", "in", "paris"],
                "tags": ["B-per", "O", "O", "B-loc"],
                "date": None,
                "id": str(id),
            }
            for id in range(20)
        ]
    )
    gain = gain_of({"1": rows, "2": rows.assign(id=rows["id"] + "b")}, task="token_classification")
    assert gain.past_rows == 20 and gain.low <= gain.expected <= gain.high


def test_a_champion_whose_graph_gives_one_layer_is_probed_with_that(
    tiny_config, tiny_model, sentences, tmp_path
) -> None:
    stream = {"e0": sentences(["loan", "fee", "box"], 60, 0, prefix="a"), "e1": sentences(["loan", "fee"], 30, 1)}

    def rows_of(ids: list[str], split: str) -> pd.DataFrame:
        return pd.concat([stream[id] if split == "train" else stream[id].iloc[:0] for id in ids], ignore_index=True)

    (tmp_path / "champion").mkdir()
    folder = with_graph(untaught(tiny_model), tmp_path / "champion")
    gain = estimate_gain(tiny_config(), folder, ["e0"], ["e1"], rows_of)
    assert gain.expected is not None and (gain.past_rows, gain.new_rows) == (60, 30)


def test_without_a_champion_or_rows_it_says_why(gain_of, sentences, tiny_config) -> None:
    none = estimate_gain(tiny_config(), None, [], ["1"], lambda ids, split: sentences(["fee"], 3))
    assert none.unknown == "there is no champion yet" and none.high is None
    rows = sentences(["fee", "loan"], 20)
    assert gain_of({"1": rows, "2": rows.iloc[:0]}).unknown == "the new experiences have no training rows"
