from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from cl import config as configuration
from cl.answer import answer
from cl.cli import cl
from cl.commands.champion import promote_version
from cl.commands.gates import replayed, verdicts_of
from cl.errors import InputError, RefusedError
from cl.lifecycle import learn
from cl.promote import promote_by_hand, rollback
from cl.reports.gate_text import gate_lines
from cl.smoke import TOLERANCE_INT8, compared, rows_like, spread
from cl.stores.connect import Stores, connect
from cl.stores.local import Project
from tests.support.tiny import made_sentences, tiny_project

STORED = pd.DataFrame(
    {
        "experience": ["a", "a", "b"],
        "id": ["1", "2", "3"],
        "challenger": ["loan", "fee", "loan"],
        "confidence": [0.9, 0.5, 0.7],
    }
)


@pytest.mark.parametrize(
    ("answers", "confidence", "passed", "why"),
    [
        (["loan", "fee", "loan"], [0.9, 0.5001, 0.7], True, "answers 3 of 3 test rows as it was evaluated"),
        (["loan", "loan", "loan"], [0.9, 0.5, 0.7], False, "row 2 of a was fee (0.500), is loan (0.500)"),
        (["loan", "fee", "loan"], [0.9, 0.5, 0.72], False, "row 3 of b was loan (0.700), is loan (0.720)"),
        (["loan", "fee", "loan"], [0.9, 0.5, np.nan], False, "answers 2 of 3"),
        (["loan", "fee"], [0.9, 0.5], False, "gives 2 answers to 3 rows"),
    ],
)
def test_a_version_passes_when_each_answer_is_the_one_that_was_stored(answers, confidence, passed, why) -> None:
    verdict = compared(STORED, answers, np.array(confidence))
    assert verdict.passed is passed and why in verdict.why and verdict.gate == "smoke test"


@pytest.mark.parametrize(
    ("answers", "confidence", "passed"),
    [
        (["loan", "fee", "loan"], [0.85, 0.45, 0.75], True),
        (["loan", "loan", "loan"], [0.9, 0.48, 0.7], True),
        (["fee", "fee", "loan"], [0.9, 0.5, 0.7], False),
        (["loan", "loan", "loan"], [0.9, 0.7, 0.7], False),
        (["loan", "fee", "loan"], [0.75, 0.5, 0.7], False),
    ],
    ids=["a little off", "one of two that were as likely", "another answer", "a surer one", "far off"],
)
def test_in_whole_numbers_answers_may_move_a_little(answers, confidence, passed) -> None:
    assert compared(STORED, answers, np.array(confidence), TOLERANCE_INT8).passed is passed


def test_the_rows_that_are_asked_are_spread_over_all_that_is_stored() -> None:
    stored = pd.DataFrame({"id": range(101)})
    assert spread(stored, 5)["id"].tolist() == [0, 25, 50, 75, 100]
    assert spread(stored, 1)["id"].tolist() == [0] and len(spread(stored, 200)) == 101


def test_each_stored_row_finds_its_text() -> None:
    def rows_of(ids, split):
        return pd.DataFrame({"id": ["3", "2", "1"], "text": [f"{ids[0]} {split} {at}" for at in (3, 2, 1)]})

    assert rows_like(STORED, rows_of)["text"].tolist() == ["a test 1", "a test 2", "b test 3"]


class KilledError(Exception):
    """Stands for a process that ends at this moment."""


def dying(stage: Callable[..., Any]) -> Callable[..., Any]:
    if stage.__name__ == "smoke":
        raise KilledError
    return stage


@pytest.fixture
def shop(tmp_path: Path, tiny_model: Path) -> Project:
    gates = [{"name": "floor", "min": 0.0}]
    return tiny_project(tmp_path / "shop", tiny_model, gates=gates, evaluation={"smoke_rows": 4})


def arrives(project: Project, name: str, labels: list[str], seed: int) -> None:
    made_sentences(labels, 60, seed=seed).to_csv(project.root / "inbox" / f"{name}.csv", index=False)


def tags(stores: Stores) -> list[str]:
    return [one.tags["cl.gates"] for one in stores.registry.versions()]


def test_no_version_is_promoted_before_it_answers_from_the_registry_in_a_fresh_process(shop) -> None:
    stores = connect(shop, configuration.load(shop.config))
    arrives(shop, "one", ["loan", "fee"], seed=1)
    with pytest.raises(KilledError):
        learn(shop, step=dying)
    assert tags(stores) == ["pending"] and stores.ledger.champion("shop") is None
    with pytest.raises(InputError, match="no version 1 of 'shop' that passed its gates"):
        rollback(stores.registry, stores.ledger, "1", why="in haste")
    with pytest.raises(RefusedError, match="the smoke test of version 1 has not ended"):
        promote_by_hand(stores.registry, stores.ledger, "1", why="in haste", despite_gates=True)
    with pytest.raises(InputError, match="version 1 of 'shop' does not wait for approval"):
        answer(shop, "1", yes=True, why="in haste")

    (first,) = learn(shop)
    assert first.verdict == "promoted" and tags(stores) == ["passed"]
    assert [(one.gate, one.passed) for one in first.gates.verdicts] == [("floor", True), ("smoke test", True)]
    assert "answers 4 of 4 test rows as it was evaluated" in first.gates.verdicts[-1].why
    told = gate_lines(verdicts_of(shop.root, None))
    assert any(line.startswith("pass       smoke test") for line in told)
    assert any(line.startswith("latency p95, ms") for line in told)


@pytest.mark.nightly
def test_a_version_that_is_damaged_in_the_registry_is_refused_and_the_champion_stays(shop) -> None:
    def damaging(stage: Callable[..., Any]) -> Callable[..., Any]:
        if stage.__name__ == "smoke":
            newest = max((shop.root / "mlflow").rglob("head.safetensors"), key=lambda path: path.stat().st_mtime)
            newest.write_bytes(newest.read_bytes()[:-40])
        return stage

    stores = connect(shop, configuration.load(shop.config))
    arrives(shop, "one", ["loan", "fee"], seed=1)
    learn(shop)
    arrives(shop, "two", ["loan", "box"], seed=2)
    (second,) = learn(shop, step=damaging)
    assert second.verdict == "refused" and tags(stores) == ["passed", "failed"]
    assert second.champion_after == stores.ledger.champion("shop") == stores.registry.champion() == "1"
    told = verdicts_of(shop.root, None)
    assert [one["gate"] for one in told["verdicts"] if not one["passed"]] == ["smoke test"]
    assert "head.safetensors is not the file that was saved" in told["verdicts"][-1]["why"]
    (shop.root / "policy.yaml").write_text("gate_policy: {mode: 'off'}")
    now = replayed(shop.root, shop.root / "policy.yaml")
    assert [(one["then"], one["now"]) for one in now] == [(True, True), (False, False)], "no policy makes it serve"
    refused = CliRunner().invoke(cl, ["promote", "2", "--despite-gates", "--why", "a wish", "-p", str(shop.root)])
    assert isinstance(refused.exception, RefusedError) and stores.registry.champion() == "1"
    assert re.match("version 2 of 'shop' cannot serve, whatever the reason: .*head.safetensors", str(refused.exception))


@pytest.mark.nightly
def test_a_version_that_a_gate_has_refused_is_tested_when_a_person_wants_it_all_the_same(shop) -> None:
    stores = connect(shop, configuration.load(shop.config))
    arrives(shop, "one", ["loan", "fee"], seed=1)
    learn(shop)
    impossible = {"gates": [{"name": "ceiling", "metric": "latency_ms", "max": 0.0}]}
    shop.config.write_text(yaml.safe_dump(yaml.safe_load(shop.config.read_text()) | impossible))
    arrives(shop, "two", ["loan", "box"], seed=2)
    (second,) = learn(shop)
    assert second.verdict == "refused" and "cl.smoke" not in stores.registry.versions()[1].tags
    head = max((shop.root / "mlflow").rglob("head.safetensors"), key=lambda path: path.stat().st_mtime)
    whole = head.read_bytes()
    head.write_bytes(whole[:-40])
    by_hand = partial(promote_version, shop.root, "2", alias="champion", share=None, despite_gates=True)
    with pytest.raises(RefusedError, match=r"cannot serve, whatever the reason: .*head\.safetensors"):
        by_hand(why="a wish")
    assert stores.registry.versions()[1].tags["cl.smoke"] == "failed" and stores.registry.champion() == "1"
    head.write_bytes(whole)
    assert (by_hand(why="nothing is that fast").action, stores.registry.champion()) == ("override", "2")
