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


def show_messages(*, verbose: bool) -> None:
    """Show warnings, or with ``verbose`` all messages from INFO up.

    The level is the handler's own, too: a logger whose messages someone else reads, as Prefect does, may be set lower.
    """
    level = logging.INFO if verbose else logging.WARNING
    handler = StandardError(sys.stderr)
    handler.setFormatter(Formatter("%(levelname)s %(name)s: %(message)s"))
    handler.setLevel(level)
    logging.basicConfig(level=level, handlers=[handler])
