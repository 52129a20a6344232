from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.deployments.runner import DeploymentApplyError
from prefect.settings import PREFECT_API_URL, temporary_settings

from cl.config import parse
from cl.errors import ConfigError, StoreError
from flows.deployments import learning_deployment, serve, watch_deployment
from flows.server import is_unreachable, to_store_error


def refused(status: int) -> httpx.HTTPStatusError:
    request = httpx.Request("GET", "http://server/deployments")
    answer = httpx.Response(status, request=request, text="{\n no }")
    return httpx.HTTPStatusError("no", request=request, response=answer)


def wrapped(told: Exception, wrapping: Exception | None = None) -> Exception:
    """What Prefect raises when a deployment cannot be applied."""
    try:
        try:
            raise told
        except Exception as error:
            raise (wrapping or DeploymentApplyError(f"Error while applying deployment: {error}")) from error
    except Exception as error:
        return error


def met_while_reading_an_answer(told: Exception) -> Exception:
    """What Prefect raises when a proxy's page of HTML is not the JSON that it takes for granted."""
    try:
        try:
            raise told
        except Exception:
            json.loads("<html>")
    except ValueError as error:
        return error
    raise AssertionError


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
        (wrapped(httpx.ConnectError("refused")), True),
        (wrapped(refused(503)), True),
        (wrapped(refused(422)), False),
        (wrapped(ValueError("x")), False),
        (wrapped(httpx.ConnectError("refused"), ConfigError("x")), False),
        (met_while_reading_an_answer(refused(502)), True),
        (met_while_reading_an_answer(refused(403)), False),
    ],
)
def test_only_a_server_out_of_reach_is_waited_for(error, is_away) -> None:
    assert is_unreachable(error) is is_away


def test_a_server_that_says_no_is_told_in_one_line() -> None:
    for error in (refused(422), wrapped(refused(422)), ExceptionGroup("all", [wrapped(refused(422))])):
        said = to_store_error(error)
        assert isinstance(said, StoreError)
        assert str(said) == "the Prefect server refuses GET /deployments (422): { no }"
    assert to_store_error(ValueError("x")) is None


@pytest.fixture
def no_sayer() -> Iterator[None]:
    """A server that is well, and refuses whatever it is asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.send_response(403)
            self.end_headers()
            self.wfile.write(b"not yours")

        do_POST = do_GET

        def log_message(self, *arguments: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{server.server_port}/api"}):
        yield
    server.shutdown()
    server.server_close()


def test_serving_ends_in_one_line_where_the_server_says_no(no_sayer) -> None:
    with pytest.raises(StoreError, match=r"the Prefect server refuses \w+ /api/\S+ \(403\): not yours") as error:
        serve(Path("shop"), parse({}, where="test"))
    assert "\n" not in str(error.value)


def test_the_deployments_are_what_the_configuration_says() -> None:
    config = parse(
        {"name": "shop", "triggers": {"cron": "0 6 * * 1", "timezone": "Europe/Berlin", "learn_on": ["drift"]}},
        where="test",
    )
    learn, watch = learning_deployment(Path("shop"), config), watch_deployment(Path("shop"), config)
    assert learn.name == watch.name == "shop" and learn.concurrency_limit == watch.concurrency_limit == 1
    assert all(
        one.concurrency_options and one.concurrency_options.grace_period_seconds < 120 for one in (learn, watch)
    ), "a machine that dies before a run begins frees its slot within two minutes"
    ((trigger,), (clock,), (looks,)) = (learn.triggers, learn.schedules, watch.schedules)
    assert trigger.expect == {"cl.drift.detected"}
    assert (clock.schedule.cron, clock.schedule.timezone) == ("0 6 * * 1", "Europe/Berlin")
    assert looks.schedule.interval.total_seconds() == 300
