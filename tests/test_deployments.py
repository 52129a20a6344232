from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from cl.config import parse
from cl.errors import ConfigError
from flows.deployments import away, learning, watching


def refused(status: int) -> httpx.HTTPStatusError:
    request = httpx.Request("GET", "http://server")
    return httpx.HTTPStatusError("no", request=request, response=httpx.Response(status, request=request))


@pytest.mark.parametrize(
    ("error", "is_away"),
    [
        (httpx.ConnectError("refused"), True),
        (refused(503), True),
        (refused(422), False),
        (RuntimeError("Service exceeded error threshold."), True),
        (RuntimeError("something else"), False),
        (ExceptionGroup("both", [httpx.ReadError("x"), RuntimeError("Service exceeded error threshold.")]), True),
        (ExceptionGroup("one", [httpx.ReadError("x"), ValueError("x")]), False),
    ],
)
def test_only_a_server_out_of_reach_is_waited_for(error, is_away) -> None:
    assert away(error) is is_away


def test_a_wrong_cron_schedule_is_told_by_its_key() -> None:
    config = parse({"triggers": {"cron": "every monday"}}, where="test")
    with pytest.raises(ConfigError, match=r"triggers\.cron: 'every monday' is no cron schedule"):
        learning(Path("shop"), config)


def test_the_deployments_are_what_the_configuration_says() -> None:
    config = parse(
        {"name": "shop", "triggers": {"cron": "0 6 * * 1", "timezone": "Europe/Berlin", "learn_on": ["drift"]}},
        where="test",
    )
    learn, watch = learning(Path("shop"), config), watching(Path("shop"), config)
    assert learn.name == watch.name == "shop" and learn.concurrency_limit == watch.concurrency_limit == 1
    ((trigger,), (clock,), (looks,)) = (learn.triggers, learn.schedules, watch.schedules)
    assert trigger.expect == {"cl.drift.detected"}
    assert (clock.schedule.cron, clock.schedule.timezone) == ("0 6 * * 1", "Europe/Berlin")
    assert looks.schedule.interval.total_seconds() == 300
