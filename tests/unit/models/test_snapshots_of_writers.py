"""What a snapshot keeps of a model that writes: its answers, and how probable it holds the true ones."""

import numpy as np
import pandas as pd
import pytest

from cl.config import parse
from cl.models.build import grow_labels, new_learner
from cl.models.generation import read_answers, write
from cl.models.snapshot import load_reference, save_reference, take_snapshot, take_unlabelled_snapshot
from tests.support.tiny import made_tiny_writer

ROWS = pd.DataFrame(
    {
        "id": ["a", "b"],
        "prompt": ["where is my card", "please help me"],
        "completion": ["the card is lost", "pay the fee"],
    }
)


def made(folder, tiny_model, **task):
    raw = {
        "task": {"name": "text_generation", "max_new_tokens": 4, **task},
        "model": {"name": str(made_tiny_writer(folder, tiny_model)), "max_length": 32},
    }
    return grow_labels(new_learner(parse(raw, where="test")), ["text"], seed=0)


def test_it_keeps_what_was_written_and_the_likelihood_of_each_true_answer(tiny_model, tmp_path) -> None:
    learner = made(tmp_path / "writer", tiny_model)
    save_reference(take_snapshot(learner, ROWS), tmp_path)
    frame = load_reference(tmp_path).frame
    encoded = learner.encode(ROWS)
    assert frame["answer"].tolist() == [prediction.value for prediction in write(learner, encoded)]
    assert frame["nll"].to_numpy() == pytest.approx(read_answers(learner, encoded).losses)
    assert (frame["nll"] > 0).all() and np.ptp(frame["nll"]) > 0


def test_prompts_without_true_answers_are_answered_and_have_no_likelihood(tiny_model, tmp_path) -> None:
    learner = made(tmp_path / "writer", tiny_model)
    frame = take_unlabelled_snapshot(learner, ROWS[["id", "prompt"]]).frame
    assert frame["answer"].tolist() == take_snapshot(learner, ROWS).frame["answer"].tolist()
    assert "nll" not in frame


def test_where_answers_are_read_none_is_kept(tiny_model, tmp_path) -> None:
    frame = take_snapshot(made(tmp_path / "writer", tiny_model, metric="nll"), ROWS).frame
    assert "answer" not in frame and (frame["nll"] > 0).all()
