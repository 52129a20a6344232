"""`--set` and `CL_SET`: what counts in place of cl.yaml, and how a wrong one is reported."""

from __future__ import annotations

import os

import pytest

from cl.config import load
from cl.config.overrides import GIVEN, VARIABLE, override, read_overrides
from cl.errors import ConfigError


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "cl.yaml"
    path.write_text("seed: 3\ntraining: {epochs: 3}\ngates: [{name: floor, min: 0.5}]\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("setting", "key", "value"),
    [
        ("training.epochs=2", "training.epochs", 2),
        ("seed=9", "seed", 9),
        ("model.tuning=bitfit", "model.tuning", "bitfit"),
        ("gates=[{name: churn, max: 0.2}]", "gates", [{"name": "churn", "max": 0.2}]),
        ("drift.report=off", "drift.report", "off"),
        ("name=käse=1", "name", "käse=1"),
    ],
)
def test_a_setting_counts_in_place_of_the_file_as_yaml_and_only_inside_its_block(file, setting, key, value) -> None:
    before = dict(os.environ)
    with override([setting]):
        assert read_overrides()[key].value == value
        if key != "name":
            raw = load(file).model_dump(mode="json", by_alias=True)
            for part in key.split("."):
                raw = raw[part]
            assert raw == value
    assert dict(os.environ) == before
    assert load(file).seed == 3


def test_set_wins_over_the_environment_and_a_later_one_over_an_earlier_one(file, monkeypatch) -> None:
    monkeypatch.setenv(VARIABLE, "{seed: 5, training.epochs: 4}")
    assert (load(file).seed, load(file).training.epochs) == (5, 4)
    with override(["seed=6"]), override(["seed=7", "training.batch_size=1", "training.batch_size=2"]):
        config = load(file)
        assert (config.seed, config.training.epochs, config.training.batch_size) == (7, 4, 2)
        assert {setting.key: setting.origin for setting in read_overrides().values()} == {
            "seed": "--set",
            "training.epochs": VARIABLE,
            "training.batch_size": "--set",
        }
    assert GIVEN not in os.environ


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.epocs=2", "--set: training.epocs is not a known key; did you mean 'epochs'?"),
        ("trainin.epochs=2", "--set: trainin is not a known key; did you mean 'training'?"),
        ("training.epochs=0", "--set: training.epochs must be at least 1, got 0"),
        ("gates=[{name: flor}]", "--set: gates.0: no gate 'flor'; did you mean 'floor'?"),
        ("seed.x=2", "--set seed.x: 'seed' holds a value, not keys; give all of it: seed={..., x: ...}"),
        ("seed", "--set seed: is not KEY=VALUE; write for example training.epochs=2"),
        ("=2", "--set =2: is not KEY=VALUE"),
        ("a..b=2", "--set a..b=2: is not KEY=VALUE"),
        ("seed=[1", "--set seed: line 1: is not YAML"),
        ("seed=010", "--set seed: line 1: a number that readers of YAML understand differently"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_the_remedy(file, setting, message) -> None:
    with pytest.raises(ConfigError) as refused, override([setting]):
        load(file)
    assert str(refused.value).startswith(message)


def test_a_fault_of_the_file_keeps_its_line_beside_a_setting(file) -> None:
    file.write_text("seed: 3\ntraining:\n  epochs: 0\n", encoding="utf-8")
    with override(["seed=4"]), pytest.raises(ConfigError, match=r"cl.yaml: line 3: training.epochs must be"):
        load(file)


def test_a_section_that_the_file_leaves_empty_is_filled(file) -> None:
    file.write_text("model:\n", encoding="utf-8")
    with override(["model.tuning=bitfit"]):
        assert load(file).model.tuning == "bitfit"


def test_a_section_that_an_alias_repeats_is_replaced_in_one_place_only(tmp_path) -> None:
    path = tmp_path / "cl.yaml"
    path.write_text("drift: {traffic: &a {}}\nserve: *a\n", encoding="utf-8")
    with override(["serve.port=9"]):
        assert load(path).serve.port == 9


@pytest.mark.parametrize("text", ["[1]", "seed", "3"])
def test_the_variable_must_hold_keys_and_values(file, monkeypatch, text) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(ConfigError, match="CL_SET: must hold keys and values"):
        load(file)


def test_no_message_shows_a_password_in_a_setting(file) -> None:
    url = "postgresql://me:hunter2@db/cl"
    with override([f"stores.ledger_uri={url}", "seed=-1"]), pytest.raises(ConfigError) as refused:
        load(file)
    assert "hunter2" not in str(refused.value)
