from __future__ import annotations

import pytest
import yaml

from cl.config import load
from cl.config.yaml import DEEPEST, read_document, read_yaml, read_yaml_file
from cl.errors import ConfigError


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "y", "On", "NO", "=", "<<2"])
def test_words_stay_words(word) -> None:
    assert read_yaml(f"{{{word}: {word}}}") == {word: word}


def test_truth_values_and_numbers_are_what_they_were() -> None:
    text = "{a: true, b: False, c: 1, d: 1.5, e: null, f: [x, 'on'], g: 2024-01-31, h: 1_000, i: 0, j: -7, k: .5}"
    assert read_yaml(text) == yaml.safe_load(text)


def test_aliases_repeat_a_value() -> None:
    assert read_yaml("a: &rows {epochs: 3}\nb: [*rows, *rows]") == {"a": {"epochs": 3}, "b": [{"epochs": 3}] * 2}


def test_a_configuration_may_switch_gates_off_and_say_where_a_rule_looks(tmp_path) -> None:
    path = tmp_path / "cl.yaml"
    path.write_text("gate_policy: {mode: off}\ngates:\n  - {name: rule, on: each_class, min: 0.5}\n")
    config = load(path)
    assert config.gate_policy.mode == "off" and config.gates == [{"name": "rule", "on": "each_class", "min": 0.5}]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("gates: [{name: floor, min: 0.5}]\nseed: 1\ngates: []", (1, 3)),
        ("gates:\n- name: no_regression\n  margin: 0.02\n  margin: 0.5", (3, 4)),
        ("ladder:\n- name: a\n  strategy: {name: ewc, strength: 1,\n    strength: 2}", (3, 4)),
        ("tune:\n  space:\n    training.epochs: [1, 2]\n    training.epochs: [3]", (3, 4)),
        ('{\n"serve": {\n"port": 1,\n"port": 2}}', (3, 4)),
        ("seed: 1\n'seed': 2", (1, 2)),
        ('seed: 1\n"s\\x65ed": 2', (1, 2)),
        ("a: &a {x: 1,\n  x: 2}\nb: *a", (1, 2)),
    ],
    ids=["top", "gate", "rung", "space", "json", "quoted", "escaped", "anchored"],
)
def test_a_key_that_is_given_twice_is_refused_with_both_lines_at_every_depth(tmp_path, text, lines) -> None:
    path = tmp_path / "cl.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"^{path}: line {lines[1]}: the key .* in line {lines[0]};"):
        read_yaml_file(path)


REFUSED = {
    "merge key": "base: &base {margin: 0.5}\ngate:\n  <<: *base",
    "merge keys": "gate: {<<: [{a: 1}, {a: 2}]}",
    "date that is none": "name: 2024-13-45",
    "time that is none": "name: 2024-01-01 25:00:00",
    "binary": "name: !!binary '%%%'",
    "set": "name: !!set {a, b}",
    "tag of Python": "name: !!python/object/apply:os.system ['true']",
    "own tag": "name: !secret x",
    "null by a tag": "gates: !!null [x]",
    "octal": "seed: 010",
    "base 60": "seed: 1:30",
    "base 60 with a fraction": "seed: 190:20:30.15",
    "binary number without digits": "seed: 0b_",
    "hexadecimal number without digits": "seed: 0x_",
    "more digits than Python reads": "seed: " + "9" * 5_000,
    "NaN as a key": ".nan: 1",
    "number as a key": "1: 1",
    "null as a key": "null: 1",
    "truth as a key": "true: 1",
    "list as a key": "{[a]: 1}",
    "mapping as a key": "? {a: 1}\n: 2",
    "unclosed": "name: [a",
    "two documents": "name: a\n---\nname: b",
    "unknown alias": "name: *nobody",
    "tabs": "name:\n\t- a",
    "control character": "name: a\nseed: \x07",
    "nested lists": "name: " + "[" * 5_000 + "]" * 5_000,
    "nested mappings": "name: " + "{a: " * 5_000,
    "nested dashes": "name:\n  " + "- " * 5_000,
    "nested through aliases": "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, DEEPEST + 2)),
    "contains itself": "name: &a [*a]",
    "contains itself further down": "name: &a {b: [{c: *a}]}",
    "lists that grow": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)),
    "mappings that grow": "a0: &a0 {k: x, l: x}\n"
    + "".join(f"a{n}: &a{n} {{k: *a{n - 1}, l: *a{n - 1}}}\n" for n in range(1, 40)),
    "many values": "data: {keep: [" + ",".join(f"c{n}" for n in range(20_000)) + "]}",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_could_be_misread_or_cannot_be_read_is_one_line_with_file_line_and_remedy(tmp_path, text) -> None:
    path = tmp_path / "cl.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"^{path}: line \d+: ") as refused:
        load(path)
    message = str(refused.value)
    assert len(message) < 300 + len(str(path)) and "\n" not in message
    assert message.count(";") or "remove" in message, "it says what to do"


def test_a_file_in_another_encoding_is_named_with_the_line(tmp_path) -> None:
    path = tmp_path / "cl.yaml"
    path.write_bytes("name: a\ntask: Größe".encode("latin-1"))
    with pytest.raises(ConfigError, match="line 2: is not UTF-8"):
        load(path)


@pytest.mark.parametrize(
    "text",
    [
        "stores:\n  tracking_uri: postgresql://me:hunter2@db/x: y: z",
        "serve: {tokens: 'hunter2}",
        "serve: {tokens: *hunter2}",
        "serve: {tokens: !hunter2}",
        "serve: {tokens: @hunter2}",
        "serve:\n  tokens: &hunter2 a\n  cors: &hunter2 b\n  x: *y",
    ],
)
def test_what_is_not_yaml_is_not_quoted_as_it_may_hold_a_secret(text) -> None:
    with pytest.raises(ConfigError) as refused:
        read_yaml(text)
    assert "hunter2" not in str(refused.value)


def test_a_value_is_found_by_its_keys_and_what_is_not_there_by_the_nearest_value_above() -> None:
    document = read_document("seed: 1\ngates:\n- name: floor\n- name: rule\n  min: 0.5\n")
    found = [document.line_of(keys) for keys in (["seed"], ["gates", 1, "min"], ["gates", 0, "max"], ["none"], [])]
    assert found == [1, 5, 3, None, None]
