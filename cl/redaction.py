"""What may be shown of a text: passwords in URLs and tracebacks are taken out before anybody reads them."""

from __future__ import annotations

import logging
import re
import traceback

# a password may hold what a URL should have quoted: all up to the last @ of a word is taken
USER = re.compile(r"//(?:[^/\s@]*:\S*|[^/\s]*)@")
OPTION = re.compile(r"([?&][^=&\s]*(?:pass|pwd|secret|token|key|sig)[^=&\s]*=)[^&\s'\"]+", re.IGNORECASE)


def without_password(text: str) -> str:
    """Return a text whose URLs hold no user, no password, and no option that looks like a secret.

    >>> without_password("postgresql://me:pa/ss@db/cl?sslpassword=x&sslmode=require: no answer")
    'postgresql://db/cl?sslpassword=***&sslmode=require: no answer'
    """
    return OPTION.sub(r"\1***", USER.sub("//", text))


def holds_password(url: str) -> bool:
    """Tell whether a URL carries a password: a user alone is no secret."""
    user = USER.search(url)
    return OPTION.search(url) is not None or (user is not None and ":" in user.group())


def format_traceback(error: BaseException) -> str:
    """Return the traceback of an error, and of what it was raised from, fit to be shown."""
    return without_password("".join(traceback.format_exception(error)))


class Formatter(logging.Formatter):
    """Formats a log record as the standard one does, its message and its traceback without passwords."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or lines, of a record."""
        return without_password(super().format(record))
