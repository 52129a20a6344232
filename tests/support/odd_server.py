"""A server whose workers can be made to hang, to end or to be deaf, under the parent that `cl serve` has.

    python -m tests.support.odd_server PORT --hung SECONDS --stop SECONDS [--workers N] [--app NAME]

GET / says which process answered; GET /KIND does to the worker what the kind says.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import re
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import uvicorn

from cl.serving.server import run_workers
from cl.stores.project_folder import ProjectFolder


def hold_the_interpreter() -> None:
    """Keep all threads of the process from running, for ages."""
    re.match(r"(a|a)*b", "a" * 64)


def be_deaf() -> None:
    """Ignore every signal that can be ignored."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


KINDS: dict[str, Callable[[], object]] = {
    "sleeps": lambda: time.sleep(3_600),
    "holds the interpreter": hold_the_interpreter,
    "is stopped": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "ends": lambda: os._exit(7),
    "is killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "is deaf": be_deaf,
}
"""What can be done to a worker."""
ENDLESS = "never answers"


async def application(scope, receive, send) -> None:
    if scope["type"] == "lifespan":
        return
    kind = scope["path"].removeprefix("/").replace("-", " ")
    if kind == ENDLESS:
        await asyncio.sleep(3_600)
    elif kind:
        KINDS[kind]()
    content = str(os.getpid()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(content))]})
    await send({"type": "http.response.body", "body": content})


def broken() -> None:
    raise ValueError("the application of the tests cannot start")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--hung", type=float, required=True)
    parser.add_argument("--stop", type=float, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--app", default="application")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    config = uvicorn.Config(
        f"tests.support.odd_server:{given.app}",
        factory=given.app == "broken",
        port=given.port,
        workers=given.workers,
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=3_600,
    )
    with tempfile.TemporaryDirectory() as folder:
        run_workers(config, ProjectFolder(Path(folder)), drain=0.0, hung=given.hung, stop=given.stop)


if __name__ == "__main__":
    main()
