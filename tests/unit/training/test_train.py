"""What an update leaves to those after it, whatever their tuning and their strategies."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from cl.config import Config
from cl.errors import ConfigError
from cl.training.strategies import State, load_states
from cl.training.train import train

LORA = {"name": "lora", "rank": 2}


@pytest.fixture
def climb(tiny_config, tiny_model, sentences, tmp_path):
    """Train one update after the other, each with a tuning and strategies, and return the states after each."""

    def config_of(tuning: object, strategy: object) -> Config:
        return tiny_config(model={"name": str(tiny_model), "dropout": 0.0, "tuning": tuning}, strategy=strategy)

    def climbed(*rungs: tuple[object, object]) -> list[dict[str, State]]:
        found, champion, learnt = [], None, []
        for at, (tuning, strategy) in enumerate(rungs):
            folder = tmp_path / str(at)
            train(
                config_of(tuning, strategy),
                champion=champion,
                new=[str(at)],
                past=learnt,
                rows_of=lambda ids, split: sentences(["loan", "fee"], 8 * len(ids), prefix="".join(ids)),
                folder=folder,
            )
            found.append(load_states(folder))
            champion, learnt = folder, [*learnt, str(at)]
        return found

    return climbed


def kept(states: dict[str, State], name: str, part: str) -> dict[str, torch.Tensor]:
    return {key: one for key, one in states[name].tensors.items() if part in key}


@pytest.mark.parametrize("strategy", ["ewc", "mas", "si"])
def test_what_the_full_rung_knows_survives_the_light_one(strategy, climb) -> None:
    full, light, again = climb(("full", strategy), (LORA, strategy), ("full", strategy))
    before, meanwhile = kept(full, strategy, ".encoder."), kept(light, strategy, ".encoder.")
    assert len(before) > 60 and all(torch.equal(meanwhile[key], one) for key, one in before.items())
    assert kept(light, strategy, ".lora_")
    assert kept(again, strategy, ".encoder.").keys() == before.keys()


def test_a_lora_that_was_merged_is_not_held_when_another_one_begins(climb) -> None:
    """Its weights have the old one's names, and begin at random."""
    first, other = {**LORA, "rank": 3}, {**LORA, "rank": 2}
    *_, last = climb((first, "ewc"), (other, "ewc"))
    matrices = kept(last, "ewc", "lora_A")
    assert {len(one) for key, one in matrices.items() if not key.startswith("weight.")} == {2}
    assert {float(one) for key, one in matrices.items() if key.startswith("weight.")} == {1.0}
    assert float(last["ewc"].tensors["weight.head.blocks.0.bias"]) == pytest.approx(1.95)


def test_the_readmes_ladder_down_and_up_again_loses_no_state(climb) -> None:
    both, replay, again = climb(("full", ["replay", "ewc"]), (LORA, "replay"), ("full", ["replay", "ewc"]))
    assert replay["ewc"].tensors.keys() == both["ewc"].tensors.keys() == again["ewc"].tensors.keys()
    assert all(torch.equal(one, both["ewc"].tensors[key]) for key, one in replay["ewc"].tensors.items())
    assert [len(one["replay"].rows) for one in (both, replay, again)] == [8, 16, 24]
    assert float(again["ewc"].tensors["weight.head.blocks.0.bias"]) == pytest.approx(1.95)


def test_a_start_from_pretrained_weights_leaves_behind_what_held_on_to_the_champion(climb) -> None:
    restart = {"name": "joint", "restart": True}
    assert set(climb(("full", ["replay", "ewc"]), ("full", restart))[1]) == {"replay", "joint"}


def test_sums_of_a_closed_form_that_lack_an_update_are_left_behind(climb) -> None:
    """Else the third would go on from sums without the second's rows."""
    *_, last = climb(("full", "ncm"), ("full", "slda"), ("full", "ncm"))
    assert set(last) == {"ncm"} and int(last["ncm"].tensors["counts"].sum()) == 24


def test_after_a_solved_head_a_buffer_is_offered_what_was_learnt_without_it(climb) -> None:
    """Else classes that only the solved head has learnt would be in no buffer, and the trained head would lose them."""
    *_, trained = climb(("full", "replay"), ("full", "ncm"), (LORA, ["replay", "ewc"]))
    assert len(trained["replay"].rows) == 24 and trained["replay"].seen == 24
    assert trained["replay"].experiences == ("0", "1", "2")
    assert set(climb(("full", "ncm"), ("full", "ncm"))[1]) == {"ncm"}


def test_what_was_held_of_a_head_that_is_no_more_does_not_hold_the_one_in_its_place(climb) -> None:
    first, _, last = climb(("full", "ewc"), ("full", "ncm"), ("full", "ewc"))
    assert kept(first, "ewc", "anchor.head.") and kept(last, "ewc", "anchor.head.").keys() == {
        "anchor.head.blocks.0.weight",
        "anchor.head.blocks.0.bias",
    }
    assert float(last["ewc"].tensors["weight.head.blocks.0.bias"]) == 1.0, "of one update, not of two"
    assert float(last["ewc"].tensors["weight.encoder.encoder.layer.0.output.dense.bias"]) == pytest.approx(1.95)


def test_the_champions_answers_cannot_be_held_where_its_head_was_solved_for(climb) -> None:
    with pytest.raises(ConfigError, match="'lwf' distils the champion's answers, but the champion's head was solved"):
        climb(("full", "ncm"), ("full", "lwf"))


@pytest.mark.parametrize("strategy", ["ranpac", {"name": "replay", "rows": 100}])
def test_an_experience_that_is_learned_again_counts_once(strategy, climb, tiny_config, tiny_model, sentences, tmp_path):
    config = tiny_config(model={"name": str(tiny_model), "dropout": 0.0}, strategy=strategy)
    past = list[str]()

    def rows_of(ids: list[str], split: str) -> pd.DataFrame:
        parts = [sentences(["loan", "fee"], 8, prefix=f"{id}-{split}-") for id in ids]
        return pd.concat(parts, ignore_index=True) if parts else sentences(["loan", "fee"], 0, prefix="")

    for at, name in enumerate(["0", "1", "1"]):
        done = train(
            config,
            champion=tmp_path / f"{at - 1}" if at else None,
            new=[name],
            past=past,
            rows_of=rows_of,
            folder=tmp_path / str(at),
        )
        past = list(dict.fromkeys([*past, name]))
    once, twice = (load_states(tmp_path / str(at))[config.built_strategies[0].name] for at in (1, 2))
    assert done.experiences == ["1"] and twice.experiences == ("0", "1") == once.experiences
    if once.rows is not None:
        assert sorted(twice.rows["id"]) == sorted(once.rows["id"]) and twice.rows["id"].is_unique
    for name, tensor in once.tensors.items():
        assert torch.allclose(twice.tensors[name], tensor, rtol=1e-4, atol=1e-4), name
