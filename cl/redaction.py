"""Remove passwords from URLs, messages and tracebacks before they are shown."""

from __future__ import annotations

import logging
import re
import traceback

# a password may contain characters that a URL should quote: match everything up to the last @ of a word
USER = re.compile(r"//(?:[^/\s@]*:\S*|[^/\s]*)@")
OPTION = re.compile(r"([?&][^=&\s]*(?:pass|pwd|secret|token|key|sig)[^=&\s]*=)[^&\s'\"]+", re.IGNORECASE)


def without_password(text: str) -> str:
    """Return the text with user, password and secret-looking options removed from its URLs.

    >>> without_password("postgresql://me:pa/ss@db/cl?sslpassword=x&sslmode=require: no answer")
    'postgresql://db/cl?sslpassword=***&sslmode=require: no answer'
    """
    return OPTION.sub(r"\1***", USER.sub("//", text))


def holds_password(url: str) -> bool:
    """Return whether a URL contains a password; a user name alone is not a secret."""
    user = USER.search(url)
    return OPTION.search(url) is not None or (user is not None and ":" in user.group())


def format_traceback(error: BaseException) -> str:
    """Return the traceback of an error and its causes, without passwords."""
    return without_password("".join(traceback.format_exception(error)))


class Formatter(logging.Formatter):
    """Formats log records like the standard formatter, with passwords removed from message and traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the formatted record."""
        return without_password(super().format(record))
