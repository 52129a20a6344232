"""Rows that join and leave between two steps are written as if each were alone, whatever update each of them has."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cl.config import parse
from cl.models.learner import Learner
from cl.models.low_rank import row_updates, share, split_off
from cl.models.persistence import load_learner
from cl.models.running_rows import CausalRows, RereadRows, running_rows
from tests.support.joined import LIMIT, ROWS, alone, written
from tests.support.tiny import made_tiny_writer
from tests.support.writing_shop import save_writer


def writer_of(folder: Path, tiny_model: Path, kind: str, seed: int, **model: object) -> Learner:
    """A version whose updates are drawn at random."""
    base = folder / kind
    if not base.exists():
        made_tiny_writer(base, tiny_model, kind=kind)
    raw = {
        "task": {"name": "text_generation", "max_new_tokens": LIMIT},
        "model": {"name": str(base), "max_length": 64, "dropout": 0.0, **model},
    }
    return load_learner(save_writer(parse(raw, where="test"), folder / f"{kind}-{seed}", seed=seed))


@pytest.mark.parametrize("kind", ["llama", "t5", "bart", "marian"])
def test_a_row_that_joins_others_is_written_as_if_it_were_alone(kind, tiny_model, tmp_path) -> None:
    learner = writer_of(tmp_path, tiny_model, kind, 1)
    expected = alone(learner)
    assert len(set(expected)) > 1 or kind in ("bart", "marian")
    assert written(learner, None, [None] * len(ROWS)) == expected


def test_a_model_whose_memory_cannot_be_put_together_reads_all_tokens_again_and_writes_the_same(
    tiny_model, tmp_path
) -> None:
    learner = writer_of(tmp_path, tiny_model, "llama", 1)
    assert isinstance(running_rows(learner), CausalRows)
    assert written(learner, RereadRows, [None] * len(ROWS)) == alone(learner)


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_rows_of_several_versions_share_the_steps_of_one_base(kind, tiny_model, tmp_path) -> None:
    learners = [writer_of(tmp_path, tiny_model, kind, seed) for seed in (1, 2)]
    expected = [alone(learner) for learner in learners]
    assert expected[0] != expected[1]
    updates = [split_off(learner.encoder) for learner in learners]
    assert all(update is not None and update.layers for update in updates)
    base = learners[0]
    share(base.encoder)
    share(base.encoder)  # a second time changes nothing
    plain = written(base, None, [None] * len(ROWS))
    for turn in (0, 1):
        mixed = [updates[(row + turn) % 2] for row in range(len(ROWS))]
        answers = written(base, None, mixed)
        assert answers == [expected[(row + turn) % 2][row] for row in range(len(ROWS))]
        assert answers != plain


def test_an_update_is_no_part_of_a_pass_outside_of_its_context(tiny_model, tmp_path) -> None:
    learner = writer_of(tmp_path, tiny_model, "llama", 1)
    update = split_off(learner.encoder)
    share(learner.encoder)
    ids = torch.tensor([[5, 6, 7]])
    before = learner.encoder(input_ids=ids).logits
    with row_updates([update]):
        assert not torch.equal(learner.encoder(input_ids=ids).logits, before)
    assert torch.equal(learner.encoder(input_ids=ids).logits, before)


@pytest.mark.parametrize("tuning", [{"name": "full"}, {"name": "ia3"}, {"name": "bitfit"}])
def test_a_version_that_is_more_than_lora_is_not_split(tuning, tiny_model, tmp_path) -> None:
    learner = writer_of(tmp_path, tiny_model, "llama", 1, tuning=tuning)
    before = alone(learner)
    assert split_off(learner.encoder) is None
    assert alone(learner) == before
