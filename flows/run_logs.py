"""Send what the library says during a flow run to Prefect's server, as the logs of that run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging.handlers import APILogHandler, APILogWorker

from cl.redaction import Formatter

LIBRARY = logging.getLogger("cl")
SECONDS_TO_DELIVER = 5


@contextmanager
def library_logs() -> Iterator[None]:
    """Log the library's messages from INFO up in this block at the server: stages, decisions and verdicts.

    What a terminal shows is a matter of its own handler's level.
    """
    handler, level = _RunHandler(logging.INFO), LIBRARY.level
    handler.setFormatter(Formatter("%(message)s"))
    LIBRARY.addHandler(handler)
    if LIBRARY.getEffectiveLevel() > logging.INFO:
        LIBRARY.setLevel(logging.INFO)
    try:
        yield
    finally:
        LIBRARY.setLevel(level)
        LIBRARY.removeHandler(handler)


def deliver_logs() -> None:
    """Send what is waiting: the temporary server ends with the process, and nothing is sent after that."""
    APILogWorker.drain_all(timeout=SECONDS_TO_DELIVER)


class _RunHandler(APILogHandler):
    """Leaves out what threads say that belong to no run."""

    def emit(self, record: logging.LogRecord) -> None:
        if FlowRunContext.get() or TaskRunContext.get():
            super().emit(record)
