from __future__ import annotations

import pandas as pd
import pytest
import torch

from cl.errors import ConfigError
from cl.evaluation.evaluate import Candidates, HeldOut, evaluate
from cl.records.past_scores import from_matrix
from cl.training.control_arm import train_control_arm
from cl.training.train import train
from tests.support.tiny import made_sentences
from tests.support.versions import assert_same_version

CONTROL = {
    "epochs": 6, "batch_size": 8, "learning_rate": 3e-3, "head_learning_rate": 1e-2, "precision": "float32",
    "control": {"rows": 24, "epochs": 4},
}  # fmt: skip


def rows_of(ids, split):
    parts = [made_sentences(["loan", "fee"] if one == "a" else ["box"], 40, len(split), prefix=one) for one in ids]
    return pd.concat(parts, ignore_index=True) if parts else made_sentences(["loan"], 0)


@pytest.fixture
def champion(tiny_config, tmp_path):
    train(tiny_config(training=CONTROL), champion=None, new=["a"], past=[], rows_of=rows_of, folder=tmp_path / "1")
    return tmp_path / "1"


def test_the_arm_learns_some_new_rows_alone_and_the_evaluation_tells_what_it_shows(
    tiny_config, champion, tmp_path
) -> None:
    config = tiny_config(training=CONTROL, strategy={"name": "replay", "rows": 80})
    asked = []

    def watched(ids, split):
        asked.append((tuple(ids), split))
        return rows_of(ids, split)

    arm = train_control_arm(config, champion=champion, new=["b"], rows_of=watched, folder=tmp_path / "control")
    assert {ids for ids, _ in asked} <= {("b",), ()}, "it sees nothing of the past"
    assert (arm.rows, arm.experiences) == (24, ["b"]) and arm.epochs <= 4 and arm.seconds > 0

    train(config, champion=champion, new=["b"], past=["a"], rows_of=rows_of, folder=tmp_path / "2")
    found = evaluate(
        config,
        Candidates(challenger=tmp_path / "2", champion=champion, control=arm),
        HeldOut(["a", "b"], from_matrix({"a": {"a": 1.0}}), rows_of),
        folder=tmp_path,
    )
    told = found.control
    past, new = (now.value - naive.value for now, naive in zip(found.challenger, told.scores, strict=True))
    assert told.forgetting_avoided == pytest.approx(past) and told.learning_cost == pytest.approx(-new)
    assert told.forgetting_avoided > 0.2, "one label alone drives out the two others"
    assert found.numbers["forgetting_avoided"] == told.forgetting_avoided
    assert found.numbers["learning_cost"] == told.learning_cost


def test_the_update_is_the_same_with_and_without_it_and_a_killed_arm_goes_on(tiny_config, champion, tmp_path) -> None:
    config = tiny_config(training=CONTROL, strategy="replay")

    class KilledError(Exception):
        pass

    def dying(ids, split):
        if split == "validation":
            raise KilledError
        return rows_of(ids, split)

    before = torch.get_rng_state()
    with pytest.raises(KilledError):
        train_control_arm(config, champion=champion, new=["b"], rows_of=dying, folder=tmp_path / "control")
    arms = [
        train_control_arm(config, champion=champion, new=["b"], rows_of=rows_of, folder=tmp_path / name)
        for name in ("control", "control", "other")
    ]
    assert torch.equal(torch.get_rng_state(), before), "what is drawn later does not depend on it"
    assert_same_version(tmp_path / "control", tmp_path / "other")
    assert {(arm.rows, arm.epochs) for arm in arms} == {(24, arms[0].epochs)}

    for name, settings in (("2", CONTROL), ("3", {**CONTROL, "control": None})):
        one = tiny_config(training=settings, strategy="replay")
        train(one, champion=champion, new=["b"], past=["a"], rows_of=rows_of, folder=tmp_path / name)
    assert_same_version(tmp_path / "2", tmp_path / "3")


def test_no_naive_arm_can_be_trained_beside_a_closed_form(tiny_config) -> None:
    with pytest.raises(ConfigError, match=r"training\.control: a naive control arm .* head of 'ncm'"):
        tiny_config(strategy="ncm", training=CONTROL)
    rungs = [{"name": "quick", "strategy": "slda"}]
    with pytest.raises(ConfigError, match=r"ladder: 'quick': training\.control"):
        tiny_config(strategy="replay", training=CONTROL, ladder=rungs)
