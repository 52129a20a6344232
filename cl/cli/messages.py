"""How log messages come to standard error: above the live line of a terminal, and without secrets."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from cl.redaction import Formatter


class StandardError(logging.StreamHandler[TextIO]):
    """Writes to what standard error is at the moment: a live display stands before it while it shows something."""

    @property
    def stream(self) -> TextIO:
        """The stream."""
        return sys.stderr

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        """Ignore the stream that the constructor sets."""


def show_messages(*, verbose: bool, prefect: bool) -> None:
    """Show warnings, or with ``verbose`` all messages from INFO up; those of Prefect only if wanted.

    The handler decides what is shown, not the level of a logger: Prefect's server keeps what is not shown here.
    """
    level = logging.INFO if verbose else logging.WARNING

    def is_shown(record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] == "prefect":
            return prefect or record.levelno >= logging.CRITICAL
        return record.levelno >= level

    logging.raiseExceptions = verbose  # a message that cannot be delivered to Prefect's server is no line of ours
    handler = StandardError(sys.stderr)
    handler.setFormatter(Formatter("%(levelname)s %(name)s: %(message)s"))
    handler.addFilter(is_shown)
    logging.basicConfig(level=level, handlers=[handler])
