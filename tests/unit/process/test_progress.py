"""Stages and meters: what reaches a reporter, and what happens without one."""

from __future__ import annotations

import logging
import threading

import pytest

from cl.process.progress import about, meter, reporting, shows_amounts, stage
from tests.support.stages import RecordedStages


@pytest.fixture
def recorded():
    with reporting(reporter := RecordedStages()):
        yield reporter


def test_a_stage_names_what_it_works_on(recorded) -> None:
    with about("0001-march"), stage("train"):
        pass
    with about("0001-march"), about("rung solve"), stage("train"):
        pass
    with stage("load libraries"):
        pass
    assert recorded.titles == ["0001-march: train", "0001-march, rung solve: train", "load libraries"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_stage_that_an_error_ends_has_failed(recorded, error) -> None:
    with pytest.raises(error), stage("outer"), stage("inner"):
        raise error
    with stage("next"):
        pass
    assert recorded.failed == ["inner", "outer"] and recorded.titles[-1] == "next"


@pytest.mark.parametrize(("unit", "done"), [("rows", 7), ("steps", 2)])
def test_a_meter_counts_for_the_one_around_it_only_in_its_unit(recorded, unit, done) -> None:
    with stage("evaluate"), meter(9, "rows") as rows:
        rows.advance(2)
        with meter(None, unit) as inner:
            inner.advance(5)
    assert recorded.amounts == [(done, 9, "rows")]


def test_a_meter_in_a_thread_belongs_to_the_open_stage(recorded) -> None:
    def work() -> None:
        with meter(4, "rows") as rows:
            rows.advance(4)

    with stage("evaluate"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert recorded.amounts == [(4, 4, "rows")]


def test_work_outside_of_a_stage_is_shown_nowhere(recorded) -> None:
    with meter(4, "rows") as rows:
        rows.advance()
    assert rows.done == 1 and recorded.titles == []


def test_without_a_reporter_nothing_is_printed_and_messages_name_the_stages(caplog, capfd) -> None:
    caplog.set_level(logging.INFO, logger="cl")
    with about("0001-march"), stage("train"), meter(2, "steps") as steps:
        steps.advance()
    first, last = caplog.messages
    assert first == "0001-march: train" and last.startswith("0001-march: train: took ")
    assert not shows_amounts() and capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("done", "first", "seconds", "left"), [(10, 0, 5.0, 10.0), (20, 10, 5.0, 5.0), (10, 10, 5.0, None)]
)
def test_the_rest_takes_as_long_as_this_process_was_fast(done, first, seconds, left) -> None:
    with stage("train"), meter(30, "steps", done=first) as steps:
        steps.reach(done)
        assert steps.seconds_left(steps.started + seconds) == left
