from __future__ import annotations

import torch

from cl.backtesting.cost import count_passes, folder_bytes, peak_memory_mb
from cl.models.build import grow_labels, new_learner
from cl.models.inference import answer
from tests.support.batches import batch_of


def test_rows_are_counted_once_and_those_with_gradients_apart(tiny_config, tiny_model, sentences) -> None:
    for tuning in ("full", "prompt"):  # a wrapped encoder must not count twice
        model = {"name": str(tiny_model), "tuning": tuning, "max_length": 32}
        learner = grow_labels(new_learner(tiny_config(model=model)), ["loan", "fee"], seed=0)
        ids = torch.ones(7, 5, dtype=torch.int64)
        with count_passes() as passes:
            answer(learner, sentences(["loan"], 10))
            learner.encoder.requires_grad_(True)
            learner.logits(batch_of(ids))
        assert (passes.forward, passes.backward) == (17, 7), tuning


def test_counting_ends(tiny_config, sentences) -> None:
    learner = grow_labels(new_learner(tiny_config()), ["loan"], seed=0)
    with count_passes() as passes:
        pass
    answer(learner, sentences(["loan"], 10))
    assert passes.forward == 0


def test_memory_and_bytes(tmp_path) -> None:
    assert peak_memory_mb() > 50
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a").write_bytes(b"12345")
    assert folder_bytes(tmp_path) == 5 and folder_bytes(tmp_path / "absent") == 0
