"""What a label depends on comes at the end of long texts: read in windows it is learned, cut off it cannot be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cl.compression.distil import distil
from cl.errors import ConfigError
from cl.models.inference import predict
from cl.models.persistence import load_learner
from cl.training.train import train
from tests.support.tiny import WORDS

LENGTH = 16
MODEL = {"dropout": 0.0, "max_length": LENGTH, "windows": {"overlap": 4, "at_most": 6}}
TRAINING = {"epochs": 20, "patience": 20, "batch_size": 8, "learning_rate": 3e-3, "head_learning_rate": 1e-2,
            "precision": "float32"}  # fmt: skip
FILLING = [word for word in WORDS if word not in ("loan", "fee", "anna", "paris")]


def long_rows(rows: int, *, seed: int) -> pd.DataFrame:
    """Texts of 20 to 50 words, whose label is one of the last three."""
    rng, texts, labels = np.random.default_rng(seed), [], []
    for number in range(rows):
        label = ("loan", "fee")[number % 2]
        texts.append(" ".join([*rng.choice(FILLING, size=int(rng.integers(20, 50))), label, label, label]))
        labels.append(label)
    ids = [f"{seed}-{number}" for number in range(rows)]
    return pd.DataFrame({"id": ids, "text": texts, "label": labels, "date": None})


def long_sentences(rows: int, *, seed: int) -> pd.DataFrame:
    """Sentences of 24 to 50 words; a person is named near the end."""
    rng, tokens, tags = np.random.default_rng(seed), [], []
    for _ in range(rows):
        before = rng.choice(FILLING, size=int(rng.integers(22, 48))).tolist()
        tokens.append([*before, "anna", str(rng.choice(FILLING))])
        tags.append([*["O"] * len(before), "B-PER", "O"])
    ids = [f"{seed}-{number}" for number in range(rows)]
    return pd.DataFrame({"id": ids, "tokens": tokens, "tags": tags, "date": None})


def long_questions(rows: int, *, seed: int) -> pd.DataFrame:
    """Questions on texts of 24 to 50 words; the name that answers them is near the end."""
    sentences = long_sentences(rows, seed=seed)
    answers = [["anna"]] * rows
    return pd.DataFrame({"id": sentences["id"], "question": "who", "context": sentences["tokens"].map(" ".join),
                         "answers": answers, "date": None})  # fmt: skip


@pytest.fixture
def config_of(tiny_config, tiny_model):
    def make(*, windows=MODEL["windows"], **changes):
        model = {**MODEL, "name": str(tiny_model), "windows": windows}
        return tiny_config(model=model, training=TRAINING, **changes)

    return make


def rows_of(make, rows: int = 64):
    split = {"train": make(rows, seed=1), "validation": make(8, seed=2)}
    return lambda ids, name: split[name]


def score(folder, rows: pd.DataFrame) -> float:
    learner = load_learner(folder)
    values = [prediction.value for prediction in predict(learner, rows)]
    return learner.task.score(rows, values)[learner.task.metric]


@pytest.mark.parametrize("strategy", ["naive", "ewc", "der", {"name": "ranpac", "features": 0}])
def test_what_comes_late_in_a_text_is_learned(strategy, config_of, tmp_path) -> None:
    config, unseen = config_of(strategy=strategy), long_rows(40, seed=3)
    first, second = tmp_path / "1", tmp_path / "2"
    train(config, champion=None, new=["a"], past=[], rows_of=rows_of(long_rows), folder=first)
    train(config, champion=first, new=["b"], past=["a"], rows_of=rows_of(long_rows), folder=second)
    assert score(second, unseen) > 0.9


def test_what_is_cut_off_is_not(config_of, tmp_path) -> None:
    config = config_of(windows=None, strategy="naive")
    train(config, champion=None, new=["a"], past=[], rows_of=rows_of(long_rows), folder=tmp_path / "1")
    assert score(tmp_path / "1", long_rows(40, seed=3)) < 0.75


@pytest.mark.parametrize("strategy", ["naive", {"name": "ranpac", "features": 0, "layers": 2}])
def test_a_name_near_the_end_of_a_sentence_is_found(strategy, config_of, tmp_path) -> None:
    config = config_of(strategy=strategy, task="token_classification")
    train(config, champion=None, new=["a"], past=[], rows_of=rows_of(long_sentences), folder=tmp_path / "1")
    assert score(tmp_path / "1", long_sentences(20, seed=3)) > 0.9


def test_an_answer_near_the_end_of_a_text_is_found(config_of, tmp_path) -> None:
    config = config_of(strategy="naive", task="question_answering")
    train(config, champion=None, new=["a"], past=[], rows_of=rows_of(long_questions), folder=tmp_path / "1")
    assert score(tmp_path / "1", long_questions(20, seed=3)) > 0.9


def test_questions_whose_answers_are_all_cut_off_teach_nothing_and_stop_nothing(config_of, tmp_path) -> None:
    config = config_of(strategy="naive", task="question_answering", windows=None)
    trained = train(config, champion=None, new=["a"], past=[], rows_of=rows_of(long_questions), folder=tmp_path / "1")
    assert trained.steps and not any(trained.losses)


def test_a_student_reads_as_its_teacher_does(config_of, tmp_path) -> None:
    config = config_of(strategy="replay", distil={"student": {"layers": 1}, "epochs": 20, "learning_rate": 3e-3})
    teacher, student, given = tmp_path / "1", tmp_path / "2", rows_of(long_rows)
    train(config, champion=None, new=["a"], past=[], rows_of=given, folder=teacher)
    nothing = long_rows(1, seed=1)[:0]
    distil(config, teacher=teacher, learnt=["a"], rows_of=given, unlabelled=nothing, folder=student)
    assert load_learner(student).settings.windows is not None
    assert score(student, long_rows(40, seed=3)) > 0.9
    attentive = config.model_copy(update={"distil": config.distil.model_copy(update={"attention": 1.0})})
    with pytest.raises(ConfigError, match=r"distil\.attention: texts are read in windows"):
        distil(attentive, teacher=teacher, learnt=["a"], rows_of=given, unlabelled=nothing, folder=tmp_path / "3")
