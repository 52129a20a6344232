from __future__ import annotations

import time

import pytest


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
def test_an_input_that_cannot_be_used_is_one_line_and_changes_nothing(desk, tmp_path, name, content, says) -> None:
    before = state_of(desk)
    path = tmp_path / name
    path.write_bytes(content)
    done = desk.cl("ingest", str(path))
    assert done.returncode == 2, done.stderr
    assert says in done.stderr and name in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert state_of(desk) == before


def test_a_path_that_is_not_there(desk, tmp_path) -> None:
    done = desk.cl("ingest", str(tmp_path / "nowhere.csv"))
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1


def test_no_project_points_to_init(desk, tmp_path) -> None:
    (tmp_path / "bare").mkdir()
    done = type(desk)(tmp_path / "bare").cl("status")
    assert done.returncode == 2 and "cl init" in done.stderr


def test_init_refuses_a_folder_that_holds_a_project(desk) -> None:
    done = desk.cl("init", str(desk.project))
    assert done.returncode == 2 and "holds a project already" in done.stderr


def test_a_wrong_key_in_the_configuration(desk) -> None:
    desk.configure(trainig={"epochs": 2})
    done = desk.cl("run")
    assert done.returncode == 2 and "did you mean 'training'?" in done.stderr


def test_an_unreachable_tracking_server_is_one_line_within_a_minute(desk, sentences, tmp_path) -> None:
    sentences(["loan", "fee"], 80).to_csv(tmp_path / "one.csv", index=False)
    assert desk.cl("ingest", str(tmp_path / "one.csv")).returncode == 0
    desk.configure(stores={"tracking_uri": "http://127.0.0.1:9", "artifacts": None})
    started = time.monotonic()
    done = desk.cl("run", "--plain")
    assert done.returncode == 1 and "127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert time.monotonic() - started < 60


def test_an_unreachable_prefect_server_is_one_line_and_changes_nothing(desk, sentences, tmp_path) -> None:
    sentences(["loan", "fee"], 80).to_csv(tmp_path / "one.csv", index=False)
    assert desk.cl("ingest", str(tmp_path / "one.csv")).returncode == 0
    done = desk.cl("run", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert done.returncode == 1 and "http://127.0.0.1:9/api" in done.stderr and "--plain" in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert desk.json("status")["waiting"] == ["0001-one"]


def test_predicting_before_anything_was_learnt(desk) -> None:
    done = desk.cl("predict", "hello")
    assert done.returncode == 1 and "no champion yet" in done.stderr


def test_with_nothing_to_do_the_answer_comes_without_prefect(desk) -> None:
    done = desk.cl("run")
    assert done.returncode == 0 and "nothing to do" in done.stdout


def test_a_champion_serves_on_after_an_update_that_diverges_in_its_last_step(desk, sentences, tmp_path) -> None:
    sentences(["loan", "fee"], 80).to_csv(tmp_path / "one.csv", index=False)
    assert desk.cl("ingest", str(tmp_path / "one.csv")).returncode == 0
    assert desk.cl("run", "--plain").returncode == 0
    before, answer = desk.json("status"), desk.json("predict", "please help my loan")
    assert before["champion"] is not None
    sentences(["box", "lamp"], 80, seed=1, prefix="s").to_csv(tmp_path / "two.csv", index=False)
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


def test_a_diverging_training_leaves_everything_as_it_was(desk, sentences, tmp_path) -> None:
    sentences(["loan", "fee"], 80).to_csv(tmp_path / "one.csv", index=False)
    assert desk.cl("ingest", str(tmp_path / "one.csv")).returncode == 0
    desk.configure(training={"epochs": 3, "learning_rate": 1e30, "head_learning_rate": 1e30, "clip_norm": 1e9})
    done = desk.cl("run", "--plain")
    assert done.returncode == 1 and "learning_rate" in done.stderr and "Traceback" not in done.stderr
    status = desk.json("status")
    assert status["champion"] is None and status["versions"] == [] and status["waiting"] == ["0001-one"]
