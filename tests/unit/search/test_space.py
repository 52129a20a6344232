from __future__ import annotations

import pytest
import yaml

from cl.config import Config, parse
from cl.errors import ConfigError
from cl.search.space import config_at, config_fragment, current_values, search_axes

LADDER = [
    {"name": "head", "strategy": {"name": "ranpac", "features": 64}},
    {"name": "lora", "tuning": "lora"},
    {"name": "full", "strategy": ["replay", {"name": "ewc", "strength": 7}], "epochs": 2},
]


def searched(**space: object) -> Config:
    return parse({"ladder": LADDER, "tune": {"space": {k.replace("__", "."): v for k, v in space.items()}}}, where="x")


def test_a_point_puts_each_value_in_its_place() -> None:
    own = searched().at_rung("full")
    made = config_at(own, {"training.epochs": 5, "strategy.ewc.strength": 9, "tuning.embeddings": True})
    assert (
        made.training.epochs == 5 and made.built_strategies[1].strength == 9 and made.built_strategies[0].rows == 2_000
    )
    assert made.model.tuning == {"name": "full", "embeddings": True}


def test_without_a_space_each_kind_of_update_has_its_usual_axes() -> None:
    config = searched()
    assert set(search_axes(config, "head")) == {"strategy.ranpac.layers"}
    assert "tuning.learning_rate" in search_axes(config, "lora") and "training.learning_rate" in search_axes(
        config, "full"
    )


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({"strategy__si__c": [1]}, "this update has no strategy 'si'; it has: replay, ewc"),
        ({"strategy__ewc__strenth": [1]}, "strenth is not a known key; did you mean 'strength'"),
        ({"strategy__ewc__strength": {"low": -1, "high": 1}}, "strength must be more than 0, got -1"),
        (
            {"training__epocs": [1]},
            "of training, a rung can set only epochs, steps, batch_size, learning_rate, head_learning_rate",
        ),
        ({"epochs": [1]}, "a key must begin with training., tuning. or strategy.NAME., such as training.epochs"),
        ({"training__epochs": [1, 0]}, "training.epochs must be at least 1, got 0"),
    ],
)
def test_an_axis_that_names_nothing_is_refused_before_anything_is_tried(space, told) -> None:
    with pytest.raises(ConfigError, match=told):
        search_axes(searched(**space), "full")


@pytest.mark.parametrize(
    ("axis", "told"),
    [
        ({"low": 2, "high": 1}, "low must be less than high, got 2 and 1"),
        ({"low": 0, "high": 1, "log": True}, "above 0"),
    ],
)
def test_a_range_that_holds_nothing_is_refused_when_it_is_read(axis, told) -> None:
    with pytest.raises(ConfigError, match=told):
        searched(training__epochs=axis)


def test_where_it_is_now_is_a_point_as_far_as_it_lies_in_the_space() -> None:
    config = searched(strategy__ewc__strength=[7, 8], training__epochs=[3, 4], strategy__replay__rows=[2_000])
    assert current_values(config.at_rung("full"), config.tune.space) == {
        "strategy.ewc.strength": 7,
        "strategy.replay.rows": 2_000,
    }


def test_the_fragment_of_a_rung_is_the_whole_ladder_and_of_an_update_the_keys_that_changed() -> None:
    config = searched()
    lines = yaml.safe_load(config_fragment(config, "full", {"training.epochs": 5, "strategy.replay.rows": 10}))
    assert [one["name"] for one in lines["ladder"]] == ["head", "lora", "full"] and lines.keys() == {"ladder"}
    pasted = parse({**config.model_dump(mode="json", by_alias=True), **lines}, where="pasted")
    assert (pasted.at_rung("full").training.epochs, pasted.at_rung("full").built_strategies[0].rows) == (5, 10)
    assert pasted.at_rung("head") == config.at_rung("head")

    plain = parse({"training": {"batch_size": 8}, "strategy": "replay"}, where="x")
    lines = yaml.safe_load(config_fragment(plain, None, {"training.epochs": 5, "tuning.embeddings": True}))
    assert lines == {
        "training": {"batch_size": 8, "epochs": 5},
        "model": {"tuning": {"name": "full", "embeddings": True}},
    }
