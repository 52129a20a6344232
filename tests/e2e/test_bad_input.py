"""What cannot be used, and what is out of reach: one line each, and the project stays as it was."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from tests.support.desk import Desk, new_desk
from tests.support.stages import without_stages
from tests.support.tiny import made_sentences


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Desk:
    """A project without a row; no test changes it, as all that is tried on it is refused."""
    return new_desk(tmp_path_factory.mktemp("empty") / "project", tiny_model)


@pytest.fixture(scope="module")
def ingested(empty: Desk, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A project in which one experience waits."""
    desk = Desk(tmp_path_factory.mktemp("ingested") / "project")
    shutil.copytree(empty.project, desk.project)
    one = desk.project.parent / "one.csv"
    made_sentences(["loan", "fee"], 80).to_csv(one, index=False)
    done = desk.cl("ingest", str(one))
    assert done.returncode == 0, done.stderr
    return desk


@pytest.fixture
def waiting(ingested: Desk, tmp_path: Path) -> Desk:
    """A copy of it, for one test."""
    shutil.copytree(ingested.project, tmp_path / "project")
    return Desk(tmp_path / "project")


def state_of(desk) -> list[str]:
    return sorted(str(path) for path in (desk.project / "data").rglob("*") if ".draft" not in str(path))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.csv", b"", "empty"),
        ("header.csv", b"id,text,label\n", ""),
        ("column.csv", b"id,body,label\n1,hello there,a\n", "no column 'text'"),
        ("numbers.csv", b"id,text,label\n1,hello there,1\n2,good morning,2\n", "numeric_labels"),
        ("words.docx", b"PK", "docx"),
        ("broken.jsonl.gz", b"\x1f\x8bnot gzip", ""),
        ("broken.parquet", b"PAR1 no", ""),
        ("allbad.csv", b"id,text,label\n1,,a\n2,,b\n", "missing text"),
    ],
)
def test_an_input_that_cannot_be_used_is_one_line_and_changes_nothing(empty, tmp_path, name, content, says) -> None:
    before = state_of(empty)
    path = tmp_path / name
    path.write_bytes(content)
    done = empty.cl("ingest", str(path))
    assert done.returncode == 2, done.stderr
    assert says in done.stderr and name in done.stderr
    assert len(without_stages(done.stderr)) == 1
    assert state_of(empty) == before


def test_a_path_that_is_not_there(empty, tmp_path) -> None:
    done = empty.cl("ingest", str(tmp_path / "nowhere.csv"))
    assert done.returncode == 2 and len(without_stages(done.stderr)) == 1


def test_no_project_points_to_init(tmp_path) -> None:
    (tmp_path / "bare").mkdir()
    done = Desk(tmp_path / "bare").cl("status")
    assert done.returncode == 2 and "cl init" in done.stderr


def test_init_refuses_a_folder_that_holds_a_project(empty) -> None:
    done = empty.cl("init", str(empty.project))
    assert done.returncode == 2 and "already contains a project" in done.stderr


def test_a_wrong_key_in_the_configuration(waiting) -> None:
    waiting.configure(trainig={"epochs": 2})
    done = waiting.cl("run")
    assert done.returncode == 2 and "did you mean 'training'?" in done.stderr


def test_an_unreachable_tracking_server_is_one_line_within_a_minute(waiting) -> None:
    waiting.configure(stores={"tracking_uri": "http://127.0.0.1:9", "artifacts": None})
    started = time.monotonic()
    done = waiting.cl("run", "--plain")
    assert done.returncode == 1 and "127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr and len(without_stages(done.stderr)) == 1
    assert time.monotonic() - started < 60


def test_an_unreachable_prefect_server_is_one_line_and_changes_nothing(waiting) -> None:
    done = waiting.cl("run", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert done.returncode == 1 and "http://127.0.0.1:9/api" in done.stderr and "--plain" in done.stderr
    assert "Traceback" not in done.stderr and len(without_stages(done.stderr)) == 1
    assert waiting.json("status")["waiting"] == ["0001-one"]


def test_predicting_before_anything_was_learnt(empty) -> None:
    done = empty.cl("predict", "hello")
    assert done.returncode == 2 and "no champion yet" in done.stderr


def test_with_nothing_to_do_the_answer_comes_without_prefect(empty) -> None:
    done = empty.cl("run")
    assert done.returncode == 0 and "nothing to do" in done.stdout


def test_a_champion_serves_on_after_an_update_that_diverges_in_its_last_step(waiting, tmp_path) -> None:
    desk = waiting
    desk.configure(ladder=[], strategy="replay")
    assert desk.cl("run", "--plain").returncode == 0
    before, answer = desk.json("status"), desk.json("predict", "please help my loan")
    assert before["champion"] is not None
    made_sentences(["box", "lamp"], 80, seed=1, prefix="s").to_csv(tmp_path / "two.csv", index=False)
    assert desk.cl("ingest", str(tmp_path / "two.csv")).returncode == 0
    desk.configure(
        training={"epochs": 1, "batch_size": 512, "learning_rate": 1e30, "head_learning_rate": 1e30, "warmup": 0}
    )
    done = desk.cl("run", "--plain")
    assert done.returncode == 1 and "training stopped" in done.stderr and "Traceback" not in done.stderr
    after = desk.json("status")
    assert after["champion"] == before["champion"] and after["versions"] == before["versions"]
    assert after["waiting"] == ["0002-two"]
    assert desk.json("predict", "please help my loan") == answer


def test_a_diverging_training_leaves_everything_as_it_was(waiting) -> None:
    waiting.configure(ladder=[], strategy="replay")
    waiting.configure(training={"epochs": 3, "learning_rate": 1e30, "head_learning_rate": 1e30, "clip_norm": 1e9})
    done = waiting.cl("run", "--plain")
    assert done.returncode == 1 and "learning_rate" in done.stderr and "Traceback" not in done.stderr
    status = waiting.json("status")
    assert status["champion"] is None and status["versions"] == [] and status["waiting"] == ["0001-one"]
