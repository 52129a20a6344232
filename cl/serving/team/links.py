"""Links to reports that are good for a minute: a new tab sends no token, so the link itself permits it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time

SECONDS = 60


class ReportLinks:
    """Signs and checks links with a key that ends with this process."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def make(self, project: str, *, now: float | None = None) -> str:
        """Return a link to a project's report, relative to the page."""
        until = int((time.time() if now is None else now) + SECONDS)
        return f"report?project={project}&until={until}&signature={self._sign(project, until)}"

    def allows(self, project: str, until: int, signature: str, *, now: float | None = None) -> bool:
        """Return whether this process made a link, and it is not too old."""
        is_own = hmac.compare_digest(self._sign(project, until).encode(), signature.encode())
        return is_own and (time.time() if now is None else now) <= until

    def _sign(self, project: str, until: int) -> str:
        return hmac.new(self._key, f"{project} {until}".encode(), hashlib.sha256).hexdigest()
