"""A student learns from its teacher, keeps what learning needs, and may serve like any challenger."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from cl.cli.main import cl
from cl.compression import distil as stage
from cl.compression.distil import distil
from cl.compression.rewrite import quantise
from cl.errors import ConfigError, InputError
from cl.models.inference import score_rows
from cl.models.persistence import load_learner
from cl.stores.opened import open_project
from cl.stores.project_folder import ProjectFolder
from cl.stores.version_folder import load_history
from cl.tasks.text_classification import TextClassification
from cl.training.strategies import load_states
from cl.training.train import train
from tests.support.five_versions import Shop
from tests.support.stages import without_stages
from tests.support.taught import ONE_LAYER, folder_of, taught_project  # noqa: F401
from tests.support.tiny import made_sentences, made_tiny_model

NO_ROWS = pd.DataFrame({"id": [], "text": []})


def student_of(project: ProjectFolder, folder: Path, *, unlabelled: pd.DataFrame = NO_ROWS, **changes: object):
    at = open_project(project.root)
    wanted = at.config.distil.model_copy(update=changes)
    return distil(
        at.config.model_copy(update={"distil": wanted}),
        teacher=folder_of(project, "1"),
        learnt=load_history(folder_of(project, "1")).learnt,
        rows_of=at.stores.experiences.rows_of,
        unlabelled=unlabelled,
        folder=folder / "student",
    )


def test_a_student_is_smaller_and_nearly_as_good(taught, tmp_path) -> None:
    done = student_of(taught, tmp_path)
    teacher, student = load_learner(folder_of(taught, "1")), load_learner(tmp_path / "student")
    test = open_project(taught.root).stores.experiences.rows_of(["0001-one"], "test")
    assert student.depth == 1 and 40 <= len(student.tokenizer) < len(teacher.tokenizer)
    assert student.labels == teacher.labels
    assert score_rows(student, test)[0] >= score_rows(teacher, test)[0] - 0.05 > 0.6
    assert done.form == "student" and done.losses[-1] < done.losses[0]


def test_the_same_teacher_has_the_same_student_to_the_bit(taught, tmp_path) -> None:
    for name in ("one", "two"):
        student_of(taught, tmp_path / name)
    one, two = (tmp_path / name / "student" for name in ("one", "two"))
    for file in ("encoder/model.safetensors", "head.safetensors", "strategies/ewc/tensors.safetensors"):
        assert (one / file).read_bytes() == (two / file).read_bytes()


def test_a_student_takes_the_buffer_over_and_has_importances_of_its_own(taught, tmp_path) -> None:
    student_of(taught, tmp_path)
    theirs, own = load_states(folder_of(taught, "1")), load_states(tmp_path / "student")
    assert own["replay"].rows is not None and own["replay"].rows.equals(theirs["replay"].rows)
    names = {f"encoder.{name}" for name, _ in load_learner(tmp_path / "student").encoder.named_parameters()}
    held = {name.removeprefix("fisher.") for name in own["ewc"].tensors if name.startswith("fisher.encoder")}
    assert held and held <= names
    assert len(held) < sum(name.startswith("fisher.encoder") for name in theirs["ewc"].tensors)


def test_logged_questions_are_learnt_with_the_teachers_answers(taught, tmp_path) -> None:
    teacher = load_learner(folder_of(taught, "1"))
    asked = made_sentences(["loan", "fee"], 30, seed=7, prefix="asked").drop(columns="label")
    at = open_project(taught.root)
    rows = stage.teaching_rows(
        at.config.model_copy(update={"distil": at.config.distil.model_copy(update={"rows": ["unlabelled"]})}),
        teacher,
        {},
        asked.assign(label="")[:0],
        asked,
        seed=0,
    )
    assert rows["id"].tolist() == asked["id"].tolist() and set(rows["label"]) <= set(teacher.labels)
    done = student_of(taught, tmp_path, unlabelled=asked)
    assert done.rows_new == 30 + len(at.stores.experiences.rows_of(["0001-one"], "train"))


def test_without_a_row_of_the_kinds_wanted_there_is_nothing_to_learn(taught, tmp_path) -> None:
    with pytest.raises(InputError, match="no row of unlabelled to learn from; add another kind"):
        student_of(taught, tmp_path, rows=["unlabelled"])


def test_attention_is_learnt_token_by_token_and_refused_for_another_vocabulary(taught, tmp_path) -> None:
    done = student_of(taught, tmp_path, attention=1.0, epochs=2)
    assert all(np.isfinite(done.losses))
    other = made_tiny_model(tmp_path / "other")
    file = other / "tokenizer.json"
    rules = json.loads(file.read_text())
    rules["model"]["vocab"] = {f"{token}x" if at > 10 else token: at for token, at in rules["model"]["vocab"].items()}
    file.write_text(json.dumps(rules))
    (other / "vocab.txt").unlink(missing_ok=True)
    student = open_project(taught.root).config.distil.student.model_copy(update={"model": str(other)})
    with pytest.raises(ConfigError, match="has another vocabulary than its teacher"):
        student_of(taught, tmp_path, attention=1.0, student=student)
    assert student_of(taught, tmp_path, student=student, epochs=1).epochs == 1, "answers and states can be compared"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"layers": 3}, "distil.student.layers: 3: the teacher has 2"),
        ({"layers": [0, 5]}, r"distil.student.layers: \[0, 5\]: name layers from 0 to 1"),
        ({"model": "nowhere/at-all"}, "distil.student.model 'nowhere/at-all' cannot be loaded"),
    ],
)
def test_a_student_that_cannot_be_made_is_told(taught, tmp_path, changes, why) -> None:
    student = open_project(taught.root).config.distil.student.model_copy(update=changes)
    with pytest.raises(ConfigError, match=why):
        student_of(taught, tmp_path, student=student)


def test_a_task_without_labels_cannot_be_distilled(taught, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(TextClassification, "provides", frozenset())
    with pytest.raises(
        InputError, match=r"task 'text_classification' cannot be distilled.*: dialogue, relation_extraction, text_gen"
    ):
        student_of(taught, tmp_path)


def test_a_teacher_that_knows_less_than_its_untrained_student_is_refused(taught, tmp_path) -> None:
    teacher = load_learner(folder_of(taught, "1"))
    rows = open_project(taught.root).stores.experiences.rows_of(["0001-one"], "train")
    upside_down = load_learner(folder_of(taught, "1"))
    for parameter in upside_down.head.parameters():
        parameter.data.neg_()
    with pytest.raises(InputError, match="the teacher is worse than its untrained student"):
        stage._check_worth(upside_down, teacher, rows)


def test_a_closed_form_has_a_trained_student_and_sums_up_again_when_it_learns(tiny_config, tmp_path) -> None:
    config = tiny_config(strategy={"name": "ranpac", "features": 64}, distil={**ONE_LAYER, "epochs": 20})
    rows = {one: made_sentences(["loan", "fee"], 60, seed=at) for at, one in enumerate(("train", "validation"))}
    more = {one: made_sentences(["loan", "box"], 60, seed=at + 5) for at, one in enumerate(("train", "validation"))}

    def rows_of(ids, split):
        return pd.concat([{"a": rows, "b": more}[one][split] for one in ids] or [rows[split][:0]], ignore_index=True)

    train(config, champion=None, new=["a"], past=[], rows_of=rows_of, folder=tmp_path / "teacher")
    distil(
        config, teacher=tmp_path / "teacher", learnt=["a"], rows_of=rows_of, unlabelled=NO_ROWS, folder=tmp_path / "s"
    )
    student = load_learner(tmp_path / "s")
    assert not student.is_closed and load_states(tmp_path / "s") == {}
    assert score_rows(student, rows["validation"])[0] > 0.8
    train(config, champion=tmp_path / "s", new=["b"], past=["a"], rows_of=rows_of, folder=tmp_path / "next")
    after = load_learner(tmp_path / "next")
    assert after.is_closed and after.depth == 1 and load_states(tmp_path / "next")["ranpac"].seen == 240


def test_words_are_tagged_by_a_student_as_well(tiny_config, tmp_path) -> None:
    words = ["anna", "ben", "lives", "in", "paris", "york"]
    tags = {"anna": "B-PER", "ben": "B-PER", "paris": "B-LOC", "york": "B-LOC"}
    rng = np.random.default_rng(0)
    tokens = [list(rng.choice(words, size=5)) for _ in range(80)]
    rows = pd.DataFrame({"id": map(str, range(80)), "tokens": tokens, "date": None})
    rows["tags"] = [[tags.get(word, "O") for word in one] for one in tokens]
    config = tiny_config(task="token_classification", strategy="naive", distil=ONE_LAYER)
    train(
        config,
        champion=None,
        new=["a"],
        past=[],
        rows_of=lambda ids, split: rows if ids else rows[:0],
        folder=tmp_path / "t",
    )
    distil(
        config,
        teacher=tmp_path / "t",
        learnt=["a"],
        rows_of=lambda ids, split: rows,
        unlabelled=NO_ROWS,
        folder=tmp_path / "s",
    )
    assert score_rows(load_learner(tmp_path / "s"), rows)[0] > 0.9


def test_int8_of_int8_is_refused(taught, tmp_path) -> None:
    quantise(teacher=folder_of(taught, "1"), folder=tmp_path / "small")
    with pytest.raises(InputError, match="in int8 already"):
        quantise(teacher=tmp_path / "small", folder=tmp_path / "smaller")


def test_what_cannot_be_distilled_or_climbed_is_one_line_exit_code_2_and_the_champion_stays(
    taught, tmp_path, monkeypatch
) -> None:
    """On the command line: each names the thing, and what to do."""
    root = shutil.copytree(taught.root, tmp_path / "shop")
    shop = Shop(root, open_project(root).stores)
    written = yaml.safe_load((root / "cl.yaml").read_text())

    def refused(*command: str, **changes: object) -> str:
        (root / "cl.yaml").write_text(yaml.safe_dump({**written, **changes}))
        said = shop.cl(*command)
        assert (said.code, len(without_stages(said.err))) == (2, 1), said.err
        assert shop.stores.ledger.champion("shop") == "1" and len(shop.stores.registry.versions()) == versions
        return said.err

    versions = 1
    other = made_tiny_model(tmp_path / "other")
    rules = json.loads((other / "tokenizer.json").read_text())
    words = {f"{word}x" if at > 10 else word: at for word, at in rules["model"]["vocab"].items()}
    (other / "tokenizer.json").write_text(json.dumps({**rules, "model": {**rules["model"], "vocab": words}}))
    (other / "vocab.txt").unlink(missing_ok=True)
    wanted = {**ONE_LAYER, "student": {"model": str(other)}, "attention": 1.0}
    assert "has another vocabulary than its teacher" in refused("distil", "1", distil=wanted)
    with monkeypatch.context() as patch:
        patch.setattr(TextClassification, "provides", frozenset())
        assert "task 'text_classification' cannot be distilled" in refused("distil", "1")
    made_sentences(["loan", "lamp"], 60, seed=3).to_csv(root / "inbox" / "two.csv", index=False)
    ladder = {"ladder": [{"name": "full"}], "climb": {"max_rows": 1}}
    assert "climb.max_rows: 1: too small for any rung" in refused("run", "--plain", **ladder)

    hasty = {"student": {"model": str(other)}, "epochs": 1, "max_rows": 8}
    (root / "cl.yaml").write_text(yaml.safe_dump({**written, "distil": hasty}))
    shop.cl("distil", "1")
    versions = 2
    assert "the teacher is worse than the champion (" in refused("distil", "2", distil=ONE_LAYER)


def test_bad_input_is_one_line_and_the_champion_stays(taught) -> None:
    before = open_project(taught.root).stores.ledger.champion("shop")
    done = CliRunner().invoke(cl, ["distil", "99", "-p", str(taught.root)])
    assert isinstance(done.exception, InputError) and "no version 99 of 'shop'; there are: 1" in str(done.exception)
    assert open_project(taught.root).stores.ledger.champion("shop") == before
