"""Who works on a project: recorded with promotions, removals and corrections."""

from __future__ import annotations

import getpass
import socket


def current_actor() -> str:
    """Return the current user as user@machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
