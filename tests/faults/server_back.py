"""A server that comes back by itself."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def back_again(process: subprocess.Popen[Any] | None, start: Callable[[], None]) -> Iterator[None]:
    """Start a server again as soon as its process has ended; at the latest when what goes on meanwhile is over."""
    over = threading.Event()

    def restart() -> None:
        while process is not None and process.poll() is None and not over.wait(0.02):
            pass
        start()

    restarter = threading.Thread(target=restart)
    restarter.start()
    try:
        yield
    finally:
        over.set()
        restarter.join()
