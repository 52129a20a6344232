from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pyarrow.parquet as pq
import pytest

from cl.config.serving import ServingLogSettings
from cl.errors import StoreError
from cl.serving.prediction_log import PredictionLog
from cl.stores.predictions.compaction import FEEDBACK, PREDICTIONS
from cl.stores.predictions.feedback import Feedback
from cl.stores.predictions.predictions import Predictions
from cl.stores.project_folder import ProjectFolder
from cl.tasks.text_classification import TextClassification
from cl.tasks.text_generation import TextGeneration
from tests.support.prediction_entry import entry


@pytest.fixture
def log(tmp_path) -> Iterator[PredictionLog]:
    log = PredictionLog(ProjectFolder(tmp_path), ServingLogSettings(), TextClassification())
    yield log
    log.close()


def test_an_answer_and_its_label_are_found_by_its_id_while_the_server_writes_and_afterwards(log) -> None:
    log.record([entry("a"), entry("b", "mail a@b.org"), entry("s", role="shadow")])
    asyncio.run(log.feedback("a", "theft"))
    found = Predictions(log.project).of(["a", "b", "s", "z"]).set_index("id")
    assert sorted(found.index) == ["a", "b"], "nobody was given the shadow's answer"
    assert found.loc["b", "text"] == "mail <EMAIL>" and found.loc["a", "prediction"] == "loss"
    assert found.loc["a", "recorded_at"] == found.loc["a", "date"] == "2026-05-28T20:26:40.250000+00:00"
    assert found.loc["a", "version"] == "3" and found.loc["a", "key"] != "customer 7"
    log.close()
    assert PREDICTIONS.open(log.project) == FEEDBACK.open(log.project) == []
    assert Predictions(log.project).of(["a", "b"]).set_index("id")["text"].to_dict() == found["text"].to_dict()
    assert Feedback(log.project).last()[["id", "label"]].to_numpy().tolist() == [["a", "theft"]]
    assert pq.read_table(PREDICTIONS.sealed(log.project)[0]).num_rows == 3, "shadows are kept for comparison"


def test_nothing_that_was_taken_out_has_ever_touched_the_disk(log) -> None:
    log.record([entry("a", "mail secret@b.org"), entry("t", None, tokens=["to", "secret@b.org"], label=["O"] * 2)])
    asyncio.run(log.feedback("a", "theft"))
    every = b"".join(path.read_bytes() for path in log.project.root.rglob("*") if path.is_file())
    assert b"<EMAIL>" in every and b"secret" not in every and b"customer" not in every


def test_answers_in_words_are_redacted_too(tmp_path) -> None:
    log = PredictionLog(ProjectFolder(tmp_path / "p"), ServingLogSettings(redact=["email"]), TextGeneration())
    said = {key: value for key, value in entry("a", "").items() if key != "text"}
    log.record([{**said, "prompt": "who helps me?", "label": "write to anna@b.org"}])
    asyncio.run(log.feedback("a", "write to berta@b.org"))
    log.close()
    (answer,) = Predictions(log.project).of(["a"])["prediction"]
    (right,) = Feedback(log.project).last()["answer"]
    assert answer == "write to <EMAIL>" and json.loads(right) == "write to <EMAIL>"


def test_a_row_whose_redaction_fails_is_counted_and_not_kept(tmp_path, monkeypatch) -> None:
    (tmp_path / "bad_rule.py").write_text("def fails(text):\n    return 1 / (len(text) - 3) and text\n")
    monkeypatch.syspath_prepend(tmp_path)
    log = PredictionLog(
        ProjectFolder(tmp_path / "p"), ServingLogSettings(redact=["bad_rule:fails"]), TextClassification()
    )
    log.record([entry("a", "abc"), entry("b", "abcd")])
    log.close()
    assert (log.counts.logged, log.counts.dropped) == (1, 1)
    assert Predictions(log.project).of(["a", "b"])["id"].tolist() == ["b"]


def test_the_last_word_on_an_id_counts_and_tags_are_words_too(log) -> None:
    async def say() -> None:
        for label in ("theft", "loss"):
            await log.feedback("a", label)
        await log.feedback("t", ["O", "B-x"])

    asyncio.run(say())
    said = Feedback(log.project).last().set_index("id")
    assert said.loc["a", "label"] == "loss" and list(said.loc["t", "tags"]) == ["O", "B-x"]


def test_feedback_that_comes_together_shares_one_sync(log, monkeypatch) -> None:
    syncs: list[int] = []
    sync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: (syncs.append(file), time.sleep(0.02), sync(file)))

    async def say() -> None:
        await asyncio.gather(*(log.feedback(str(at), "loss") for at in range(500)))

    asyncio.run(say())
    assert len(Feedback(log.project).last()) == 500 == log.counts.acknowledged and len(syncs) <= 3


def test_predictions_that_find_no_room_are_dropped_and_counted_and_no_request_waits(tmp_path, monkeypatch) -> None:
    slow = threading.Event()
    monkeypatch.setattr(os, "write", lambda file, data, write=os.write: (slow.wait(20), write(file, data))[1])
    log = PredictionLog(ProjectFolder(tmp_path), ServingLogSettings(queue=10), TextClassification())
    begun = time.perf_counter()
    for at in range(50):
        log.record([entry(str(at))])
    assert time.perf_counter() - begun < 1.0
    slow.set()
    log.close()
    assert log.counts.logged + log.counts.dropped == 50 and 10 <= log.counts.logged < 50
    assert len(Predictions(log.project).of([str(at) for at in range(50)])) == log.counts.logged


def test_feedback_is_refused_while_the_disk_is_too_slow(tmp_path, monkeypatch) -> None:
    slow = threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda file: slow.wait(20))
    log = PredictionLog(ProjectFolder(tmp_path), ServingLogSettings(feedback_seconds=0.2), TextClassification())
    with pytest.raises(StoreError, match="the disk is too slow for feedback"):
        asyncio.run(log.feedback("a", "loss"))
    slow.set()
    log.close()
    with pytest.raises(StoreError, match="cannot be stored now"):
        asyncio.run(log.feedback("a", "loss"))
    assert log.counts.refused == 2


def test_feedback_is_refused_while_the_disk_is_full_and_taken_again_afterwards(log) -> None:
    asyncio.run(log.feedback("a", "loss"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FEEDBACK.open(log.project)[0].stat().st_size + 5, limits[1]))
    try:
        log.record([entry("x")] * 20)
        with pytest.raises(StoreError, match="could not be written"):
            asyncio.run(log.feedback("b", "loss"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    asyncio.run(log.feedback("c", "loss"))
    assert Feedback(log.project).last()["id"].tolist() == ["a", "c"] and log.counts.dropped == 20


def test_a_sync_that_failed_is_no_acknowledgement_and_the_next_one_goes_to_another_file(log, monkeypatch) -> None:
    sync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    with pytest.raises(StoreError):
        asyncio.run(log.feedback("a", "loss"))
    monkeypatch.setattr(os, "fdatasync", sync)
    asyncio.run(log.feedback("b", "loss"))
    assert len(FEEDBACK.open(log.project)) == 2 and "b" in set(Feedback(log.project).last()["id"])


def test_a_large_file_becomes_parquet_while_the_server_goes_on(tmp_path) -> None:
    log = PredictionLog(ProjectFolder(tmp_path), ServingLogSettings(roll_mb=0.01), TextClassification())
    lots = 0
    while not PREDICTIONS.sealed(log.project) and lots < 3_000:
        if lots < 10 or len(PREDICTIONS.open(log.project)) < 2:  # the first file is full, and a second one is begun
            log.record([entry(f"{lots}-{n}") for n in range(20)])
            lots += 1
        time.sleep(0.02)
    assert PREDICTIONS.sealed(log.project)
    log.close()
    assert len(Predictions(log.project).of([f"{lot}-{n}" for lot in range(lots) for n in range(20)])) == 20 * lots
    assert Predictions(log.project).count()["answered"] == 20 * lots


WRITER = """
import asyncio, pathlib, sys
from cl.serving.prediction_log import PredictionLog
from cl.config.serving import ServingLogSettings
from cl.stores.project_folder import ProjectFolder
from cl.tasks.text_classification import TextClassification
from tests.support.prediction_entry import entry

async def serve(name):
    settings, task = ServingLogSettings(roll_mb=0.02), TextClassification()
    log = PredictionLog(ProjectFolder(pathlib.Path(sys.argv[1])), settings, task)
    async def client(n):
        for at in range(100_000):
            id = f"{name}-{n}-{at}"
            log.record([entry(id)])
            await log.feedback(id, "loss")
            print(id, flush=True)
    await asyncio.gather(*map(client, range(8)))

asyncio.run(serve(sys.argv[2]))
"""


@pytest.mark.parametrize("lots", [1, pytest.param(2, marks=pytest.mark.nightly)])
def test_what_was_acknowledged_outlives_the_death_of_all_workers_and_no_prediction_is_there_twice(
    tmp_path, lots
) -> None:
    acknowledged: list[str] = []
    for lot in range(lots):
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(tmp_path), f"{lot}{n}"], stdout=subprocess.PIPE, text=True
            )
            for n in range(2)
        ]
        for worker in workers:
            assert worker.stdout is not None
            acknowledged += [worker.stdout.readline().strip() for _ in range(60)]
        for worker in workers:
            worker.kill()
            assert worker.stdout is not None
            acknowledged += [line.strip() for line in worker.stdout if line.endswith("\n")]
            worker.wait()
    log = PredictionLog(ProjectFolder(tmp_path), ServingLogSettings(), TextClassification())
    log.close()
    assert PREDICTIONS.open(log.project) == FEEDBACK.open(log.project) == []
    assert set(acknowledged) <= set(Feedback(log.project).last()["id"])
    logged = [id for path in PREDICTIONS.sealed(log.project) for id in pq.read_table(path)["id"].to_pylist()]
    assert len(logged) == len(set(logged)) and set(acknowledged) <= set(logged)
