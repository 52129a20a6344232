"""The variants of LoRA: how an update is scaled, and what DoRA trains and keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cl.models.build import change_tuning, freeze_all_but_tuned, grow_labels, new_learner
from cl.models.learner import Learner
from cl.models.persistence import load_learner, save_learner
from cl.models.tunings.lora import LoRA, matrices
from cl.testing import tiny_encoder
from tests.support.task_rows import config_of, rows_of, task_of
from tests.support.tiny import made_tiny_writer


def test_the_update_is_scaled_by_the_rank_or_by_its_root() -> None:
    for rslora, scale in ((False, 8 / 4), (True, 8 / 2)):
        encoder = LoRA(rank=4, alpha=8.0, rslora=rslora).attach(tiny_encoder())
        up = next(parameter for name, parameter in encoder.named_parameters() if "lora_B" in name)
        torch.nn.init.ones_(up)
        assert torch.equal(next(iter(matrices(encoder).values()))[0], torch.full_like(up, scale))


def moved_learner(config: Any, labels: list[str]) -> Learner:
    """A learner whose LoRA has moved, lengths and all."""
    torch.manual_seed(0)
    learner = grow_labels(new_learner(config), labels, seed=0)
    freeze_all_but_tuned(learner)
    with torch.no_grad():
        for parameter in learner.encoder.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.rand_like(parameter) * 0.2)
    learner.eval_mode()
    return learner


def logits(learner: Learner, task: str) -> torch.Tensor:
    rows = rows_of(task_of(task))(["one"], "train").head(4)
    (batch,) = learner.batches(learner.encode(rows), None)
    with torch.no_grad():
        return learner.logits(batch)


def test_dora_trains_a_length_for_each_row_of_a_matrix() -> None:
    plain, dora = (LoRA(rank=2, dora=dora) for dora in (False, True))
    counts = [sum(weight.numel() for weight in own.moving(own.attach(tiny_encoder()))) for own in (plain, dora)]
    encoder = dora.attach(tiny_encoder())
    widths = [up.shape[0] for up, _ in matrices(encoder).values()]
    assert counts[1] - counts[0] == sum(widths) > 0


@pytest.mark.parametrize("task", ["text_classification", "text_generation"])
def test_a_version_with_dora_answers_as_the_learner_that_was_saved(task, tiny_model, tmp_path) -> None:
    config = config_of(tiny_model, task, model={"tuning": {"name": "lora", "rank": 2, "dora": True, "rslora": True}})
    learner = moved_learner(config, task_of(task).labels(rows_of(task_of(task))(["one"], "train")))
    (tmp_path / "version").mkdir()
    save_learner(learner, tmp_path / "version")
    assert torch.equal(logits(load_learner(tmp_path / "version"), task), logits(learner, task))
    lengths = [name for name, _ in learner.parameters() if "magnitude" in name]
    assert lengths


def test_dora_is_merged_into_the_weights_where_versions_hold_them(tiny_model) -> None:
    config = config_of(tiny_model, "text_classification", model={"tuning": {"name": "lora", "rank": 2, "dora": True}})
    learner = moved_learner(config, ["loan", "fee"])
    before = logits(learner, "text_classification")
    plain = change_tuning(learner, config.model.model_copy(update={"tuning": "full"}))
    assert not any("lora" in name for name, _ in plain.encoder.named_parameters())
    torch.testing.assert_close(logits(plain, "text_classification"), before, atol=1e-5, rtol=1e-4)


def test_dora_suits_the_layers_of_gpt2_too(tiny_model, tmp_path: Path) -> None:
    name = str(made_tiny_writer(tmp_path / "gpt2", tiny_model, kind="gpt2"))
    tuned = {"name": "lora", "rank": 2, "dora": True}
    plain = config_of(tiny_model, "text_generation", model={"name": name, "tuning": {"name": "lora", "rank": 2}})
    config = config_of(tiny_model, "text_generation", model={"name": name, "tuning": tuned})
    start, own = (grow_labels(new_learner(each), ["text"], seed=0) for each in (plain, config))
    torch.testing.assert_close(logits(own, "text_generation"), logits(start, "text_generation"), atol=1e-5, rtol=1e-4)
