"""Say on the terminal when the server answers, and meanwhile why it does not."""

from __future__ import annotations

import json
import ssl
import threading
import time
import urllib.error
import urllib.request
from typing import Any

SECONDS = 1.0
"""Between two looks before the server answers."""
TIMEOUT = 5.0
"""Seconds for one answer."""


def announce_readiness(url: str, local: str) -> None:
    """Print a line as soon as ``/readyz`` says that a version answers, and before that a line that says why none does.

    It asks over HTTP, in a thread that ends with the process: only an answer shows that the server answers.

    Args:
        url: of the server, as it is shown.
        local: the same, as this machine reaches it.
    """
    threading.Thread(target=_watch, args=(f"{local}/readyz", url), name="readiness", daemon=True).start()


def _watch(asked: str, url: str) -> None:
    said = ""
    while True:
        time.sleep(SECONDS)
        try:
            status = _ask(asked)
        except (OSError, ValueError):
            continue
        if status.get("ready"):
            print(f"{url}: ready, version {status['champion']} answers", flush=True)
            return
        if (why := str(status.get("why"))) not in (said, "stopping"):
            print(f"{url}: not ready, predictions are refused: {_explain(why)}", flush=True)
            said = why


def _ask(address: str) -> dict[str, Any]:
    """Return what a server says of itself, whatever the status of its answer."""
    itself = ssl.create_default_context()  # its certificate names the host that clients use, not the one used here
    itself.check_hostname, itself.verify_mode = False, ssl.CERT_NONE
    no_proxy, https = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=itself)
    try:
        with urllib.request.build_opener(no_proxy, https).open(address, timeout=TIMEOUT) as answer:
            status: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            status = json.load(refusal)
    return status


def _explain(why: str) -> str:
    remedy = "; `cl run` learns one, `cl promote VERSION --why TEXT` lets one serve"
    return why + (remedy if why == "no champion yet" else "")
