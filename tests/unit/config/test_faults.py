"""Every fault of a configuration is found at once, each with its line, its key and the remedy."""

from __future__ import annotations

import pytest

from cl.config.faults import check_file
from cl.config.overrides import override

WRONG = """\
name: "a b"
sed: 3
training: {epocs: 2, batch_size: 0}
gates:
- {name: floor, min: 85}
- {name: flor}
- {name: churn}
strategy: [replay, replay]
drift: {detectors: [x]}
triggers:
  learn_on: [drift, foo]
decide: {rung: {labels: nope}}
ladder:
- {name: a, growth: 3}
- {nam: b}
"""
FAULTS = [
    (1, "name", "must be made of letters"),
    (2, "sed", "did you mean 'seed'?"),
    (3, "training.batch_size", "must be at least 1, got 0"),
    (3, "training.epocs", "did you mean 'epochs'?"),
    (5, "gates.0", "for 85 % write 0.85"),
    (6, "gates.1", "did you mean 'floor'?"),
    (7, "gates.2", "churn"),
    (8, "strategy", "list each strategy once"),
    (9, "drift.detectors", "no detector 'x'"),
    (11, "triggers.learn_on.1", "must be 'performance', 'drift' or 'arrival', got 'foo'"),
    (12, "decide.rung.labels", "no rung 'nope'"),
    (13, "ladder", "the first rung must be tried in every update"),
    (15, "ladder.1.nam", "did you mean 'name'?"),
]


def test_every_fault_is_found_with_line_key_and_remedy(tmp_path) -> None:
    path = tmp_path / "cl.yaml"
    path.write_text(WRONG, encoding="utf-8")
    faults = check_file(path)
    assert [(fault.line, fault.key) for fault in faults] == [(line, key) for line, key, _ in FAULTS]
    for fault, (line, _, remedy) in zip(faults, FAULTS, strict=True):
        assert remedy in fault.message and fault.text.startswith(f"{path}: line {line}: ")


@pytest.mark.parametrize("text", ["", "seed: 3\n", "gates: []\n", "{}\n", "strategy: ewc\n"])
def test_a_valid_configuration_has_no_fault(tmp_path, text) -> None:
    path = tmp_path / "cl.yaml"
    path.write_text(text, encoding="utf-8")
    assert check_file(path) == []


@pytest.mark.parametrize("text", ["[1]", "a: [", "seed: 010"])
def test_what_cannot_be_read_is_one_fault(tmp_path, text) -> None:
    path = tmp_path / "cl.yaml"
    path.write_text(text, encoding="utf-8")
    (fault,) = check_file(path)
    assert fault.text.startswith(f"{path}: ") and fault.text.count(str(path)) == 1


def test_a_fault_of_a_setting_names_its_origin_and_not_a_line(tmp_path) -> None:
    path = tmp_path / "cl.yaml"
    path.write_text("training: {epochs: 0}\n", encoding="utf-8")
    with override(["seed=x"]):
        assert {(fault.where, fault.line) for fault in check_file(path)} == {("--set", None), (str(path), 1)}
