from __future__ import annotations

import pytest
import torch

from cl.evaluation.latency import measure_latency, measure_throughput
from cl.evaluation.memory import Living, measure_memory_mb, size_mb
from cl.models.persistence import save_learner


def test_models_are_timed_in_turn_and_without_rows_there_is_no_time(learner, unseen) -> None:
    found = measure_latency({"challenger": learner, "champion": learner}, unseen, calls=8)
    for one in found.values():
        assert 0 < one["latency_p50_ms"] <= one["latency_p95_ms"]
    assert measure_throughput(learner, unseen)["rows_per_second"] > 0
    assert measure_latency({"challenger": learner}, unseen.head(0), calls=8) == {"challenger": {}}
    assert measure_throughput(learner, unseen.head(0)) == {}


def test_living_counts_the_bytes_that_tensors_hold_at_the_same_time() -> None:
    with torch.no_grad(), Living() as living:
        first = torch.zeros(1_000)
        second = first + 1
        view = second.view(10, 100)
        del first, second
        third = view * 2
        third.add_(1)
        del view, third
    assert (living.peak, living.now) == (8_000, 0)


def test_memory_is_the_weights_and_the_peak_of_a_batch(learner, unseen) -> None:
    weights = sum(one.nbytes for part in (learner.encoder, learner.head) for one in part.parameters()) / 1e6
    empty = measure_memory_mb(learner, unseen.head(0))["memory_mb"]
    few, many = (measure_memory_mb(learner, unseen.head(rows))["memory_mb"] for rows in (4, 40))
    assert weights <= empty < few < many
    assert measure_memory_mb(learner, unseen) == measure_memory_mb(learner, unseen), "it is counted, not timed"


def test_size_counts_what_training_saved_and_not_what_was_added_when_it_was_registered(learner, tmp_path) -> None:
    save_learner(learner, tmp_path)
    before = size_mb(tmp_path)["size_mb"]
    assert before == pytest.approx(sum(one.stat().st_size for one in tmp_path.rglob("*") if one.is_file()) / 1e6)
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "embeddings.safetensors").write_bytes(bytes(1_000_000))
    assert size_mb(tmp_path)["size_mb"] == before
