"""Whole backtests: strategies beside one another, runs that are killed, interrupted, and gone on with."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.support import warm
from tests.support.backtests import arguments, results, small_config, small_stream  # noqa: F401
from tests.support.stages import without_stages

DECIDED = ("acc", "forgetting", "bwt", "fwt", "matrix", "rows_trained", "forward_rows", "backward_rows", "classes")


def test_strategies_are_compared_on_the_same_stream(config, stream, tmp_path) -> None:
    out = tmp_path / "out"
    named = ("naive", "replay", "j={name: joint}", "{name: gdumb, rows: 60}")
    found = results(config, stream, out, *(word for one in named for word in ("--strategy", one)))
    assert list(found) == ["naive", "replay", "j", "gdumb"]
    naive, replay, joint, gdumb = found.values()
    assert replay["acc"] > naive["acc"] + 0.2
    assert joint["intransigence"] == 0.0 and replay["intransigence"] is not None
    assert len(naive["matrix"]) == 3 and all(len(row) == 3 for row in naive["matrix"])
    assert naive["matrix"][0][1:] == [0.0, 0.0], "labels that have not come yet cannot be right"
    assert joint["rows_trained"] > replay["rows_trained"] > naive["rows_trained"] > 0
    assert all(one["rows_trained"] == one["backward_rows"] < one["forward_rows"] for one in found.values())
    assert gdumb["rows_trained"] <= 60 * 8 * 3
    past = sum(path.stat().st_size for path in out.glob("streams/*/data/experiences/*/train.parquet"))
    assert joint["bytes_kept"] >= past > replay["bytes_kept"] > naive["bytes_kept"]
    assert naive["peak_memory_mb"] > 100 and naive["seconds"] > 0
    assert set(naive["classes"]) == {"loan", "fee", "box", "lamp", "shoe", "card"}
    assert naive["worst_class_score"] == min(naive["classes"].values())
    names = {path.name for path in out.iterdir() if path.is_file()}
    assert names == {
        "results.json", "results.csv", "matrix.csv", "report.md", "report.html", "comparison.png", "matrix-naive.png",
        "matrix-replay.png", "matrix-j.png", "matrix-gdumb.png",
    }  # fmt: skip
    assert json.loads((out / "results.json").read_text())["strategies"] == found
    page = (out / "report.html").read_text()
    assert "<script" not in page and "replay" in page


@contextmanager
def begun(config: Path, stream: Path, out: Path, *more: str) -> Iterator[subprocess.Popen]:
    """A backtest in a group of processes of its own, as a shell starts it; its first experience is done."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cl.cli", *arguments(config, stream, out, *more)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        wait_for(lambda: process.poll() is not None or any(finished_lines(out)))
        assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(happened: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def finished_lines(out: Path) -> list[str]:
    return [line for path in out.glob("runs/*/experiences.jsonl") for line in path.read_text().splitlines()]


def workers(group: int) -> list[int]:
    """The runs of a backtest, and once it is gone the process that they are forked from as well."""

    def found(*how: str) -> set[int]:
        command = ["pgrep", *how, str(group), "-f", "multiprocessing.forkserver"]
        return {int(one) for one in subprocess.run(command, capture_output=True, text=True).stdout.split()}

    return sorted(found("-g") - found("-P"))


@pytest.mark.nightly
def test_killed_and_run_again_it_ends_where_an_undisturbed_run_ends(config, stream, tmp_path) -> None:
    whole = results(config, stream, tmp_path / "whole")["replay"]
    out = tmp_path / "cut"
    with begun(config, stream, out) as process:
        process.kill()
        wait_for(lambda: not workers(process.pid), seconds=20)
    (lines,) = out.glob("runs/*/experiences.jsonl")
    with lines.open("a") as file:
        file.write('{"experience": "cut o')  # a line that was not written to its end
    cut = results(config, stream, out)["replay"]
    assert {key: cut[key] for key in DECIDED} == {key: whole[key] for key in DECIDED}


def test_a_run_whose_process_is_killed_is_told_in_a_line_and_the_others_go_on(config, stream, tmp_path) -> None:
    out = tmp_path / "out"
    with begun(config, stream, out, "--strategy", "replay", "--strategy", "ncm", "--jobs", "1") as process:
        (worker,) = workers(process.pid)
        os.kill(worker, signal.SIGKILL)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    (failure,) = without_stages(errors)
    assert failure.startswith("cl: replay stopped: its process ended with exit code -9")
    found = json.loads((out / "results.json").read_text())["strategies"]
    assert found["replay"]["failures"] and not found["ncm"]["failures"]


def test_an_interrupt_ends_all_in_one_line_and_keeps_what_is_finished(config, stream, tmp_path) -> None:
    out = tmp_path / "out"
    with begun(config, stream, out) as process:
        done = finished_lines(out)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert not workers(process.pid)
    assert process.returncode == 1
    assert without_stages(errors) == ["cl: interrupted; run it again to resume after the last finished experience"]
    assert finished_lines(out)[: len(done)] == done


@pytest.mark.nightly
def test_a_finished_run_is_not_repeated_unless_asked(config, stream, tmp_path) -> None:
    out = tmp_path / "out"
    first = results(config, stream, out, "--experiences", "1")
    assert results(config, stream, out, "--experiences", "1") == first
    again = results(config, stream, out, "--experiences", "1", "--fresh")
    assert again["replay"]["matrix"] == first["replay"]["matrix"]


@pytest.mark.nightly
def test_seeds_give_mean_and_spread_and_jobs_change_nothing(config, stream, tmp_path) -> None:
    given = ("--seed", "1", "--seed", "2", "--experiences", "2")
    one = results(config, stream, tmp_path / "one", *given, "--jobs", "1")["replay"]
    two = results(config, stream, tmp_path / "two", *given, "--jobs", "2")["replay"]
    assert one["seeds"] == [1, 2]
    assert {key: one[key] for key in DECIDED} == {key: two[key] for key in DECIDED}
    alone = [results(config, stream, tmp_path / "one", "--seed", seed, "--experiences", "2")["replay"] for seed in "12"]
    for name in ("acc", "bwt", "fwt", "forgetting"):
        each = [single[name] for single in alone]
        assert one[name] == pytest.approx(statistics.fmean(each)), name
        assert one[f"{name}_std"] == pytest.approx(statistics.stdev(each)), name


@pytest.mark.nightly
def test_policies_learn_the_first_alone_or_the_rest_at_once_or_always(config, stream, tmp_path) -> None:
    policies = [word for one in ("first", "last", "always") for word in ("--policy", one)]
    found = results(config, stream, tmp_path / "out", "--strategy", "j={name: joint}", *policies)
    assert list(found) == ["j/first", "j/last", "j/always"]
    first, late, always = found.values()
    assert first["updates"] == 1 and first["matrix"][0] == first["matrix"][1] == first["matrix"][2]
    assert late["updates"] == 2 and late["matrix"][0] == late["matrix"][1]
    assert first["rows_trained"] < late["rows_trained"] < always["rows_trained"]
    assert late["acc"] > 0.7, "everything is learnt in the end"
    assert always["intransigence"] == 0.0 < late["intransigence"], "joint at every step is what all are held against"


@pytest.mark.nightly
def test_the_ladder_is_climbed_as_far_as_its_gates_ask_beside_each_rung_alone(config, stream, tmp_path) -> None:
    raw = yaml.safe_load(config.read_text())
    weak = {"name": "weak", "strategy": "naive", "epochs": 1, "learning_rate": 1e-9, "head_learning_rate": 1e-9}
    raw |= {"ladder": [weak, {"name": "full"}], "gates": [{"name": "floor", "min": 0.9}], "climb": {"pick": "first"}}
    config.write_text(yaml.safe_dump(raw))
    named = ("ladder", "ladder:weak", "top=ladder:full")
    found = results(config, stream, tmp_path / "out", *(word for one in named for word in ("--strategy", one)))
    ladder, weak, top = found.values()
    assert list(found) == ["ladder", "weak", "top"]
    begun = {name: one["begun"] for name, one in ladder["rungs"].items()}
    assert begun == {"weak": 1, "full": 3}, "it remembers that the first rung was not enough"
    assert ladder["rungs"]["full"]["passed"] == 3 and ladder["acc"] == top["acc"] > weak["acc"]
    assert ladder["rows_trained"] == top["rows_trained"] + ladder["rungs"]["weak"]["rows"]
    assert not weak["rungs"] and weak["forward_rows"] < ladder["forward_rows"], "nothing judges a rung alone"
    assert "| ladder: rung | begun |" in (tmp_path / "out" / "report.md").read_text()
    assert '<th scope="col">ladder: rung</th>' in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.nightly
def test_a_run_that_stops_is_told_and_the_others_go_on(config, stream, tmp_path) -> None:
    raw = yaml.safe_load(config.read_text())
    raw["training"] |= {"learning_rate": 1e30, "head_learning_rate": 1e30, "clip_norm": 1e9}
    config.write_text(yaml.safe_dump(raw))
    out, file = tmp_path / "out", tmp_path / "there.json"
    given = ("--experiences", "2", "--strategy", "ncm")
    results(config, stream, out, *given)
    (lines,) = out.glob("runs/*/experiences.jsonl")
    lines.write_text(lines.read_text().splitlines(keepends=True)[0])  # the version that it names is there no more
    more = (*given, "--strategy", "naive", "--strategy", "slda", "--json", str(file))
    done = warm.run(*arguments(config, stream, out, *more))
    assert done.returncode == 1
    foreseen, unforeseen = sorted(without_stages(done.stderr))
    assert foreseen.startswith("cl: naive stopped: training stopped: the loss is")
    assert unforeseen.startswith("cl: ncm stopped: ") and "cannot be used as a version: FileNotFoundError" in unforeseen
    assert "slda: learned, tested on      1     2\n1 0001-0" in done.stdout
    found = json.loads(file.read_text())["strategies"]
    assert found == json.loads((out / "results.json").read_text())["strategies"]
    assert [(one["acc"] is None, one["seeds"]) for one in found.values()] == [(True, []), (True, []), (False, [17])]


def test_quiet_experiences_are_left_until_drift_says_otherwise(config, stream, tmp_path, sentences) -> None:
    sentences(["loan", "fee"], 90, seed=7, prefix="quiet-").to_csv(stream / "00.csv", index=False)
    found = results(config, stream, tmp_path / "out", "--policy", "drift", "--experiences", "3")["replay"]
    assert found["experiences"] == ["0001-0", "0002-00", "0003-1"]
    assert found["updates"] == 2 and found["matrix"][0] == found["matrix"][1] != found["matrix"][2]


def test_closed_forms_are_strategies_too_and_what_runs_share_changes_neither_results_nor_costs(
    config, stream, tmp_path
) -> None:
    named = ("one={name: ncm}", "two={name: ncm, removable: false}", "{name: ranpac, features: 64}")
    given = [word for one in named for word in ("--strategy", one)]
    one, two, ranpac = results(config, stream, tmp_path / "out", *given, "--jobs", "1").values()
    same = ("acc", "matrix", "forward_rows", "rows_trained")
    assert [one[key] for key in same] == [two[key] for key in same]
    assert ranpac["backward_rows"] == 0 and ranpac["acc"] > 0.5
    assert ranpac["rows_trained"] > one["rows_trained"], "it learns validation rows too"
