"""What a command shows while it works: on a terminal, elsewhere, and in Python."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.support.desk import Desk, new_desk
from tests.support.stages import without_stages
from tests.support.terminal import HIDE, SHOW, on_terminal
from tests.support.tiny import made_sentences

CYCLE = ["validate", "detect drift", "estimate the gain", "decide", "train", "score the baselines", "evaluate"]
CYCLE += ["gates", "register", "smoke test", "promote", "record"]
STEPS = re.compile(r"\d+/\d+ steps, \d+\.\d s left")


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Desk:
    """A project in which one experience waits."""
    desk = new_desk(tmp_path_factory.mktemp("waiting") / "project", tiny_model)
    rows = desk.project.parent / "rows.csv"
    made_sentences(["loan", "fee"], 80).to_csv(rows, index=False)
    desk.configure(ladder=[], strategy="replay", model={"name": str(tiny_model), "dropout": 0.0, "max_length": 32})
    assert desk.cl("ingest", str(rows)).returncode == 0
    return desk


@pytest.fixture
def copy(waiting: Desk, tmp_path: Path) -> Desk:
    shutil.copytree(waiting.project, tmp_path / "project")
    return Desk(tmp_path / "project")


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1", "TERM": "xterm-256color"}])
def test_off_a_terminal_each_stage_is_a_plain_line_as_it_begins(copy, environment) -> None:
    done = copy.cl("run", "--plain", "--json", **environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["load libraries", *[f"0001-rows: {stage}" for stage in CYCLE]]
    assert "\x1b" not in done.stderr + done.stdout and json.loads(done.stdout)[0]["promotion"]["promoted"]


@pytest.mark.parametrize("option", ["-q", "--quiet"])
def test_a_quiet_command_shows_no_stage(copy, option) -> None:
    done = copy.cl(option, "run", "--plain", "-p", str(copy.project))
    assert (done.returncode, done.stderr) == (0, "")


def test_with_messages_the_stages_are_among_them(copy) -> None:
    done = copy.cl("-v", "run", "--plain", "-p", str(copy.project))
    said = done.stderr.splitlines()
    assert "INFO cl.process.progress: 0001-rows: evaluate" in said and "0001-rows: evaluate" not in said


def test_on_a_terminal_stages_are_live_and_leave_a_line_each(copy, tmp_path) -> None:
    out = tmp_path / "out.json"
    session = on_terminal("run", "--plain", "--json", "-p", str(copy.project), stdout=out)
    assert session.code == 0, session.written
    left = [re.sub(r"  \d+\.\d s$", "", line) for line in session.screen]
    assert left == ["load libraries", *[f"0001-rows: {stage}" for stage in CYCLE]]
    assert STEPS.search(session.written), "a bar for what can be counted"
    assert session.written.count(HIDE) == session.written.count(SHOW) > 0
    assert json.loads(out.read_text())[0]["promotion"]["promoted"]


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"TERM": "unknown"}])
def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(copy, environment) -> None:
    rows = copy.project.parent / "more.csv"
    made_sentences(["loan", "fee"], 20, seed=3, prefix="m").to_csv(rows, index=False)
    session = on_terminal("ingest", str(rows), "-p", str(copy.project), **environment)
    written = session.written.removesuffix("\x1b[0m")  # colorama's, which DVC loads, at the end of each process
    assert session.code == 0 and "\x1b" not in written
    assert session.screen[:3] == [f"read {rows}", "compare with earlier rows and write", "version the data with DVC"]


def test_ctrl_c_leaves_a_clean_terminal(copy) -> None:
    copy.configure(training={"epochs": 100_000, "patience": 100_000, "batch_size": 8, "precision": "float32"})
    session = on_terminal("run", "--plain", "-p", str(copy.project), interrupt_at="steps")
    assert session.code == 1 and session.screen[-1] == "cl: stopped"
    assert session.written.count(HIDE) == session.written.count(SHOW) > 0
    assert session.written.rindex(SHOW) < session.written.index("cl: stopped")
    assert not any("steps" in line for line in session.screen), "the live line is gone"


def test_a_stage_that_fails_comes_before_the_one_line_of_its_error(copy) -> None:
    copy.configure(training={"epochs": 3, "learning_rate": 1e30, "head_learning_rate": 1e30, "clip_norm": 1e9})
    done = copy.cl("run", "--plain")
    assert done.returncode == 1 and done.stderr.splitlines()[-2] == "0001-rows: train"
    (error,) = without_stages(done.stderr)
    assert error == done.stderr.splitlines()[-1] and error.startswith("cl: training stopped")
