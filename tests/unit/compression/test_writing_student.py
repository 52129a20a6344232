from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from cl.compression.distil import distil
from cl.compression.rewrite import quantise
from cl.compression.student import is_smaller
from cl.compression.writing_student import TokenImitation, in_own_words, new_writing_student, same_tokens
from cl.config import parse
from cl.errors import ConfigError, InputError
from cl.evaluation.early_signs import measure_divergence
from cl.models.batching import collate
from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.models.generation import write
from cl.models.persistence import load_learner, save_learner
from cl.records.history import History
from cl.registry.export import export
from cl.serving.writing.shared_bases import SharedBases
from cl.stores.version_folder import save_history
from cl.tasks import Prediction
from cl.training.strategies import State, Step, TrainingData, Update
from tests.support.task_rows import made_rows, rows_of, task_of
from tests.support.tiny import made_tiny_writer

TUNING = {"name": "lora", "rank": 2, "learning_rate": 0.02}
NO_ROWS = pd.DataFrame({"id": [], "prompt": []})


@pytest.fixture(scope="module")
def base(tiny_model, tmp_path_factory):
    return made_tiny_writer(tmp_path_factory.mktemp("base") / "model", tiny_model)


@pytest.fixture
def config_of(base):
    def make(**distil):
        raw = {
            "task": {"name": "text_generation", "max_new_tokens": 5},
            "model": {"name": str(base), "max_length": 32, "dropout": 0.0, "tuning": TUNING},
            "training": {"epochs": 2, "batch_size": 4, "precision": "float32"},
            "drift": {"detectors": []},
            "strategy": "naive",
            "distil": {"epochs": 3, **distil},
        }
        return parse(raw, where="test")

    return make


@pytest.fixture
def teacher(config_of, tmp_path):
    """A version of two layers whose updates are drawn at random, and its folder."""
    learner = grow_labels(new_learner(config_of()), ["text"], seed=0)
    freeze_all_but_tuned(learner)
    torch.manual_seed(1)
    with torch.no_grad():
        for _, parameter in learner.parameters():
            parameter.normal_(std=0.4)
    folder = tmp_path / "teacher"
    folder.mkdir()
    save_learner(learner, folder)
    save_history(History(), folder)
    return load_learner(folder), folder


def logits_of(learner, rows) -> torch.Tensor:
    with torch.no_grad():
        ((_, (logits,)),) = learner.run(learner.encode(rows), batch_size=None)
    return logits


def test_a_student_of_layers_starts_as_its_teacher_without_the_others(config_of, teacher, tmp_path) -> None:
    """Its versions name the layers and copy none: read again, it is the teacher with a layer that does nothing."""
    learner, folder = teacher
    rows = made_rows(task_of("text_generation"), ["loan", "fee"], 5)
    student = new_writing_student(config_of(student={"layers": [1]}), learner, folder)
    assert student.depth == 1 and student.base.layers == (1,) and student.base.digest == learner.base.digest
    (tmp_path / "student").mkdir()
    save_learner(student, tmp_path / "student")
    assert not (tmp_path / "student" / "encoder" / "config.json").exists()
    again = load_learner(tmp_path / "student")
    assert again.depth == 1 and again.by_reference
    torch.testing.assert_close(logits_of(again, rows), logits_of(student, rows))
    first = learner.encoder.model.layers[0]
    first.forward = lambda hidden, *_, **__: hidden
    torch.testing.assert_close(logits_of(student, rows), logits_of(learner, rows))


def test_layers_of_a_student_are_those_of_the_base(config_of, teacher, tmp_path) -> None:
    learner, folder = teacher
    student = new_writing_student(config_of(student={"layers": [1]}), learner, folder)
    (tmp_path / "student").mkdir()
    save_learner(student, tmp_path / "student")
    again = new_writing_student(config_of(student={"layers": 1}), load_learner(tmp_path / "student"), tmp_path)
    assert again.base.layers == (1,)
    wanted = config_of(student={"layers": 1}).distil.student
    assert is_smaller(wanted, folder) and not is_smaller(wanted, tmp_path / "student")


def test_a_student_on_a_smaller_model_refers_to_that(config_of, teacher, tiny_model, tmp_path) -> None:
    learner, folder = teacher
    small = made_tiny_writer(tmp_path / "small", tiny_model, positions=96)
    wanted = config_of(student={"model": str(small)})
    student = new_writing_student(wanted, learner, folder)
    assert student.base.name == str(small) and student.base.layers is None and student.labels == ["text"]
    assert is_smaller(wanted.distil.student, folder)
    assert not is_smaller(config_of(student={"model": learner.base.name}).distil.student, folder)


@pytest.mark.parametrize(
    ("student", "why"),
    [
        ({}, "distil.student: a language model keeps its vocabulary: name a smaller model .* or how many layers"),
        ({"layers": 3}, "distil.student.layers: 3: the teacher has 2"),
        ({"model": "nowhere/at-all"}, "distil.student.model 'nowhere/at-all' cannot be loaded"),
    ],
)
def test_a_student_that_cannot_be_built_is_refused_in_one_line(config_of, teacher, student, why) -> None:
    changes = {"student": student} if student else {}
    with pytest.raises(ConfigError, match=why):
        new_writing_student(config_of(**changes), *teacher)


def test_the_rows_have_the_teachers_answers_where_it_comes_to_an_end(teacher, monkeypatch) -> None:
    learner, _ = teacher
    rows = made_rows(task_of("text_generation"), ["loan", "fee"], 4)
    rows.loc[3, "completion"] = None
    said = [Prediction("my own", 0.5), Prediction("never ending", 0.5, cut=True), Prediction("", 0.5)]
    monkeypatch.setattr("cl.compression.writing_student.write", lambda *_: [*said, Prediction("", 0.5)])
    own = in_own_words(learner, rows)
    assert own["completion"].tolist() == ["my own", *rows["completion"].iloc[1:3]]
    assert own["id"].tolist() == rows["id"].tolist()[:3]


def test_it_is_the_prompt_alone_that_the_teacher_answers(teacher) -> None:
    """What it writes does not depend on the true answers."""
    learner, _ = teacher
    rows = made_rows(task_of("text_generation"), ["loan", "fee"], 6)
    written = [answer.value for answer in write(learner, learner.encode(rows.drop(columns="completion")))]
    told = in_own_words(learner, rows.assign(completion="box"))["completion"].tolist()
    assert [own in (answer, "box") for own, answer in zip(told, written, strict=True)] == [True] * 6


def test_the_penalty_by_hand(teacher) -> None:
    """Of three tokens, the teacher holds two for as probable as e to one at temperature 1: a half of that at 2."""
    learner, _ = teacher
    rows = made_rows(task_of("text_generation"), ["loan"], 1)
    batch = collate(learner.task, learner.encode(rows), [0], learner.tokenizer.pad_token_id, learner.device)
    places = int((batch.targets[0] != -100).sum())
    logits = torch.zeros(1, places, 3)
    then = torch.tensor([1.0, 0.0, 0.0]) / 2
    imitation = TokenImitation(temperature=2.0, soft=0.5)
    lesson = TrainingData(rows=rows, past=lambda: rows, rng=np.random.default_rng(0))
    update = Update(State(), lesson, learner)
    logs = then.log_softmax(-1).expand(places, 3)
    update.cache["said"] = {rows["id"][0]: (logs[:, :2], torch.tensor([[0, 1]] * places))}
    penalty = imitation.penalty(update, Step(rows["id"].tolist(), batch, logits))
    e = math.exp(0.5)
    shares = [e / (e + 2), 1 / (e + 2), 1 / (e + 2)]
    assert penalty.item() == pytest.approx(0.5 * 4 * sum(share * math.log(3 * share) for share in shares), rel=1e-4)
    update.cache["said"] = {}
    assert imitation.penalty(update, Step(rows["id"].tolist(), batch, logits)) is None


def test_a_student_that_is_its_teacher_has_no_penalty_at_first(config_of, teacher) -> None:
    learner, folder = teacher
    student = new_writing_student(config_of(student={"layers": 2}), learner, folder)
    rows = made_rows(task_of("text_generation"), ["loan", "fee"], 3)
    lesson = TrainingData(rows=rows, past=lambda: rows, rng=np.random.default_rng(0))
    update = Update(State(), lesson, student, cache={"teacher": learner})
    imitation = TokenImitation(temperature=2.0, soft=2.0)
    imitation.begin(update)
    batch = collate(student.task, student.encode(rows), [0, 1, 2], student.tokenizer.pad_token_id, student.device)
    assert len(update.cache["said"]) == 3
    (logits,) = student.forward(batch)
    assert abs(float(imitation.penalty(update, Step(rows["id"].tolist(), batch, logits)).detach())) < 1e-5


def test_models_of_one_vocabulary_have_the_same_tokens(teacher, config_of, tiny_model, tmp_path) -> None:
    learner, _ = teacher
    assert same_tokens(learner, learner)
    other = replace(learner, tokenizer=learner.tokenizer.__class__(vocab={"[PAD]": 0, "[UNK]": 1}))
    assert not same_tokens(learner, other)


def test_a_student_of_probabilities_ends_nearer_its_teacher(config_of, teacher, tmp_path) -> None:
    learner, folder = teacher
    read, apart = rows_of(task_of("text_generation")), []
    rows = read(["one"], "train")
    for soft in (0.0, 20.0):
        config = config_of(student={"layers": 1}, soft=soft, epochs=12)
        result = distil(
            config,
            teacher=folder,
            learnt=["one"],
            rows_of=read,
            unlabelled=NO_ROWS,
            folder=tmp_path / f"student{soft}",
        )
        student = load_learner(tmp_path / f"student{soft}")
        assert result.form == "student" and result.rows_new == len(rows)
        assert student.by_reference and student.base.layers == (1,)
        apart.append(measure_divergence(learner, student, [rows])["kl_from_champion"])
    assert apart[1] < apart[0] * 0.9


def test_an_adapter_on_some_layers_is_exported_as_a_whole_model_only(config_of, teacher, tmp_path) -> None:
    learner, folder = teacher
    student = new_writing_student(config_of(student={"layers": 1}), learner, folder)
    (tmp_path / "student").mkdir()
    save_learner(student, tmp_path / "student")
    save_history(History(), tmp_path / "student")
    with pytest.raises(InputError, match=r"uses 1 layers .* peft would load all: add --merged"):
        export(tmp_path / "student", tmp_path / "out", version="1", model="shop")
    export(tmp_path / "student", tmp_path / "out", version="1", model="shop", merged=True)
    assert (tmp_path / "out" / "transformers" / "model.safetensors").exists()


def test_a_server_keeps_a_base_apart_from_the_same_base_with_fewer_layers(config_of, teacher, tmp_path) -> None:
    learner, folder = teacher
    (tmp_path / "student").mkdir()
    save_learner(new_writing_student(config_of(student={"layers": 1}), learner, folder), tmp_path / "student")
    bases = SharedBases()
    models = []
    for version in (folder, tmp_path / "student", folder):
        model, update = bases.share(load_learner(version, restore=bases.restore))
        assert update is not None
        models.append(model)
    assert [model.config.num_hidden_layers for model in models] == [2, 1, 2]
    assert models[0] is models[2]


def test_a_version_that_refers_to_its_base_has_no_int8_form(teacher, tmp_path) -> None:
    _, folder = teacher
    with pytest.raises(InputError, match=r"refers to its base and has no weights to rewrite: derive a student"):
        quantise(teacher=folder, folder=tmp_path / "int8")
