from __future__ import annotations

import pytest
import yaml

from cl.config import load
from cl.config.yaml import read_yaml


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "y", "On", "NO"])
def test_words_stay_words(word) -> None:
    assert read_yaml(f"{{{word}: {word}}}") == {word: word}


def test_truth_values_and_numbers_are_what_they_were() -> None:
    text = "{a: true, b: False, c: 1, d: 1.5, e: null, f: [x, 'on'], g: 2024-01-31}"
    assert read_yaml(text) == yaml.safe_load(text)


def test_no_object_of_python_is_made() -> None:
    with pytest.raises(yaml.YAMLError):
        read_yaml("!!python/object/apply:os.system ['true']")


def test_a_configuration_may_switch_gates_off_and_say_where_a_rule_looks(tmp_path) -> None:
    path = tmp_path / "cl.yaml"
    path.write_text("gate_policy: {mode: off}\ngates:\n  - {name: rule, on: each_class, min: 0.5}\n")
    config = load(path)
    assert config.gate_policy.mode == "off" and config.gates == [{"name": "rule", "on": "each_class", "min": 0.5}]
