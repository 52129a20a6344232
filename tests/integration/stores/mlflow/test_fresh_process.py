from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from cl.config import parse
from cl.errors import StoreError, UnservableError
from cl.process.forks import ForkServer
from cl.stores.manifest import write_manifest
from cl.stores.mlflow import fresh_process
from cl.stores.mlflow.fresh_process import answer_in_fresh_process
from cl.stores.mlflow.registry import Registry


@pytest.mark.nightly
def test_a_version_that_reads_tokens_answers_from_a_fresh_process_as_it_does_here(tmp_path, tiny_model) -> None:
    from cl.models.build import grow_labels, new_learner
    from cl.models.inference import predict
    from cl.models.persistence import save_learner

    config = parse({"task": "token_classification", "model": {"name": str(tiny_model)}}, where="test")
    learner, folder = grow_labels(new_learner(config), ["O", "B-PER", "I-PER"], seed=0), tmp_path / "challenger"
    folder.mkdir()
    save_learner(learner, folder)
    write_manifest(folder)
    registry = Registry(f"sqlite:///{tmp_path}/m.db", str(tmp_path / "artifacts"), "tokens")
    registry.initialise()
    run = registry.runs.start_run("c1", "0001-one", {})
    version = registry.log_version(run, folder, tags={"cl.cycle_id": "c1"}, metrics={})

    rows = pd.DataFrame({"tokens": [["anna", "visited", "york"], ["ben", "said"]]})
    found = answer_in_fresh_process(registry, version, rows)
    here = predict(learner, rows)
    assert found["tags"].tolist() == [one.value for one in here]
    assert found["confidence"].tolist() == pytest.approx([one.confidence for one in here], abs=1e-5)
    with pytest.raises(StoreError, match=r"version 7 of 'tokens' is not in MLflow's registry; .*there are: 1$"):
        answer_in_fresh_process(registry, "7", rows)


class Downloaded(Registry):
    """A registry whose versions are on this machine already."""

    def download(self, version: str, folder: Path) -> Path:
        folder.mkdir()
        return folder


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import sys; print('loading', file=sys.stderr); raise ValueError('no such file')", "ValueError: no such file"),
        ("raise OSError('https://anna:secret@host/x is away')", "OSError: https://host/x is away"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "its process was killed by signal 9"),
        ("import sys; sys.exit(4)", "its process ended with code 4 and no message"),
        ("import time; time.sleep(60)", "it did not answer within 2 seconds"),
    ],
)
def test_a_process_that_fails_is_reported_in_one_line(monkeypatch, tmp_path, program, message) -> None:
    real = subprocess.run

    def other(command, **given):
        return real([sys.executable, "-c", program], **given)

    monkeypatch.setattr(fresh_process.subprocess, "run", other)  # type: ignore[attr-defined]
    monkeypatch.setattr(fresh_process, "SECONDS", 2)
    with pytest.raises(UnservableError, match=message):
        answer_in_fresh_process(Downloaded("sqlite://", None, "shop"), "1", pd.DataFrame({"text": ["my loan"]}))


def missing(scratch: Path) -> None:
    raise ValueError("no such file")


def away(scratch: Path) -> None:
    raise OSError("https://anna:secret@host/x is away")


def killed(scratch: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def silent(scratch: Path) -> None:
    os._exit(4)


def slow(scratch: Path) -> None:
    time.sleep(60)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no process is forked")
@pytest.mark.parametrize(
    ("work", "message"),
    [
        (missing, "ValueError: no such file"),
        (away, "OSError: https://host/x is away"),
        (killed, "its process was killed by signal 9"),
        (silent, "its process ended with code 4 and no message"),
        (slow, "it did not answer within 2 seconds"),
    ],
)
def test_a_forked_process_that_fails_is_reported_in_the_same_line(
    monkeypatch, work: Callable[[Path], None], message
) -> None:
    server = ForkServer(work)
    monkeypatch.setattr(fresh_process, "_at_hand", server)
    monkeypatch.setattr(fresh_process, "SECONDS", 2)
    with pytest.raises(UnservableError, match=message):
        answer_in_fresh_process(Downloaded("sqlite://", None, "shop"), "1", pd.DataFrame({"text": ["my loan"]}))
    server.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no process is forked")
def test_where_the_waiting_process_has_died_a_new_interpreter_answers(monkeypatch) -> None:
    server = ForkServer(missing)
    os.kill(server.pid, signal.SIGKILL)
    monkeypatch.setattr(fresh_process, "_at_hand", server)
    command = [sys.executable, "-c", "raise ValueError('a new interpreter')"]
    real = subprocess.run
    monkeypatch.setattr(fresh_process.subprocess, "run", lambda _, **given: real(command, **given))  # type: ignore[attr-defined]
    with pytest.raises(UnservableError, match="ValueError: a new interpreter"):
        answer_in_fresh_process(Downloaded("sqlite://", None, "shop"), "1", pd.DataFrame({"text": ["my loan"]}))
    server.close()
