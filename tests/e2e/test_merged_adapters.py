"""A language model learns in cycles whose challengers are merges of adapters."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
import torch

import cl
from cl import config as configuration
from cl.lifecycle import run_waiting
from cl.models.persistence import load_learner
from cl.models.tunings.lora import matrices
from cl.stores.stores import open_stores
from tests.integration.cycle.test_text_generation import replies, writing_project
from tests.support.tiny import made_tiny_writer


@pytest.fixture
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_one_thread")
def test_a_merge_is_chosen_registered_and_served(tiny_model: Path, tmp_path: Path, caplog) -> None:
    """The second month alone is learned: what knows both months lies between the champion and the trained one."""
    writer = made_tiny_writer(tmp_path / "model", tiny_model)
    shop = writing_project(
        tmp_path / "shop",
        writer,
        strategy=[{"name": "merge", "method": "linear"}],
        gates=[{"name": "floor", "min": 0.0}],
    )
    caplog.set_level(logging.INFO, logger="cl.training.strategies.merge")
    for name, words, seed in (("one", ["card", "parcel"], 1), ("two", ["card", "fee"], 2)):
        replies(words, 60, seed=seed).to_csv(shop.root / "inbox" / f"{name}.csv", index=False)
        (cycle,) = run_waiting(shop)
        assert cycle.verdict == "promoted", cycle
    (weight,) = re.findall(
        r"weight (\S+) of the new adapter", caplog.text
    )  # the first update has nothing to merge with
    assert 0 < float(weight) < 1
    registry = open_stores(shop, configuration.load(shop.config)).registry
    first, second = (load_learner(registry.download(version, tmp_path / version)) for version in ("1", "2"))
    assert second.by_reference
    for name, (up, down) in matrices(second.encoder).items():
        assert down.shape[0] == 16 and not torch.equal(up, matrices(first.encoder)[name][0])
    assert list(cl.Project.open(shop.root).predict(["please help the old card"])["prediction"]) == ["my card is lost"]
