"""Remove secrets from text before it is shown, and make one bounded line of an error.

Text is cleaned in three ways: secrets that `hide` was given are replaced wherever they occur; users and passwords are
cut out of URLs; and values whose name says that they are secret are replaced in queries, connection strings, headers
and mappings. In doubt, more is hidden than is secret.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from urllib.parse import quote, quote_plus, unquote, unquote_plus

MASK = "***"
LONGEST_LINE = 1_000
LONGEST_CLEANED = 100_000
SHORTEST_SECRET = 4
"""Characters of a known secret; a shorter one is hidden in URLs and behind its name only."""
SECRET_KEYS = re.compile(
    r"(?:^|[^a-z])(?:ur[il]|dsn|connection|remote|artifacts|webhook|tokens?|keys?|pass|passw(?:or)?d|pwd|passphrase|secrets?"
    r"|credentials?|auth|authorization|headers?|cookie|query)(?:$|[^a-z])"
)
"""Words in keys of the configuration whose values may be secrets."""
QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
NAME = (
    r"[\w.-]{0,60}?(?:passw(?:or)?d[\w.-]{0,60}|pass(?:phrase|code)?|pwd|secret[\w.-]{0,60}|credentials?|signature"
    r"|token|(?:api|access|account|private|shared|signing|encryption)[_-]?key(?:[_-]?id)?)"
)
"""A name whose value is a secret wherever it occurs."""
IN_QUERY = re.compile(r"pass|pwd|secret|token|key|sig|credential|auth", re.I)
IN_PAIR = re.compile(rf"(?P<name>(?<![\w.?&-]){NAME}\s*=\s*)(?:{QUOTED}|\{{[^}}]*\}}|[^\s'\";]+)", re.I)
SECRETS = (
    re.compile(rf"(?P<name>[?&][^=&\s]{{0,60}}(?:{IN_QUERY.pattern})[^=&\s]{{0,60}}=)[^&\s'\"]+", re.I),
    IN_PAIR,
    re.compile(rf"(?P<name>(?P<quote>['\"])(?:{NAME}|authorization)(?P=quote)\s*[:,]\s*b?)(?:{QUOTED})", re.I),
    re.compile(
        r"(?P<name>\b(?:(?:proxy-)?authorization|(?:set-)?cookie|x-[\w-]{0,60}(?:key|token|secret|auth))['\"]?\s*:\s*['\"]?"
        r"(?:(?:bearer|basic|digest|token)\s+)?)(?!\*\*\*)[^\s'\"]+",
        re.I,
    ),
    re.compile(r"(?P<name>\b(?:bearer|basic)\s+)(?=[^\s'\"]*\d)[^\s'\"]{6,}", re.I),
)
LONGEST_USER = 4_000
"""Characters of a user with a password."""
HEAD, WORD = re.compile(r"[^/?\s]*"), re.compile(rf"\S{{0,{LONGEST_USER}}}")
HOST = re.compile(r"[^:@]*:\d*[.,:;)\]}>'\"]*|\[[\da-fA-F:.]*\](?::\d*)?[.,:;)\]}>'\"]*")
"""What follows // where it is a host and perhaps a port, and no user with a password."""
DELIMITER = re.compile(r"[@/:#?\s]")
_known: set[str] = set()


def hide(*secrets: str) -> None:
    """Remember secrets, of which no text shows anything from now on, however it quotes them.

    A library that splits a URL elsewhere takes a part of its password for a host or a path: parts are hidden too.
    """
    for secret in filter(None, secrets):
        plain = {secret, unquote(secret), unquote_plus(secret)}
        for delimiter in DELIMITER.finditer(secret):
            head, tail = secret[: delimiter.start()], secret[delimiter.end() :]
            plain |= {head, tail, unquote(tail)}
            _known.update([*(f"{part}@" for part in (tail, unquote(tail)) if part), *([f":{head}"] if head else [])])
        forms = {form for text in plain for form in (text, quote(text, safe=""), quote_plus(text), repr(text)[1:-1])}
        forms |= {json.dumps(text)[1:-1] for text in plain}
        _known.update(form for form in forms if len(form) >= SHORTEST_SECRET)


def secrets_in(value: str) -> list[str]:
    """Return the password of a URL, and the secrets of its query or of a connection string.

    >>> secrets_in("postgresql://me:pa/ss@db/cl?sslpassword=x&sslmode=require")
    ['pa/ss', 'x']
    """
    start = value.find("//") + 2
    end = _end_of_user(value, start) if start > 1 else 0
    password, rest = value[start : end - 1].partition(":")[2], value[end:]
    options = [option.partition("=") for option in rest.partition("?")[2].split("&")]
    secrets = [secret for name, _, secret in options if IN_QUERY.search(name)]
    secrets += [match[0].removeprefix(match["name"]).strip("'\"") for match in IN_PAIR.finditer(rest)]
    return [secret for secret in dict.fromkeys([password, *secrets]) if secret]


def holds_password(url: str) -> bool:
    """Return whether a URL contains a password; a user name alone is not a secret."""
    return bool(secrets_in(url))


def may_hold_secret(*keys: int | str) -> bool:
    """Return whether the value below these keys of a configuration may be a secret.

    >>> may_hold_secret("stores", "ledger_uri"), may_hold_secret("training", "epochs")
    (True, False)
    """
    return any(SECRET_KEYS.search(str(key).lower()) for key in keys)


def without_password(text: str) -> str:
    """Return the text without known secrets, users and passwords of URLs, and values with secret names.

    >>> without_password("postgresql://me:pa/ss@db/cl?sslpassword=x&sslmode=require: no answer")
    'postgresql://db/cl?sslpassword=***&sslmode=require: no answer'
    """
    for secret in sorted(_known, key=len, reverse=True):
        if secret in text:
            before, after = (r"\b" if re.match(r"\w", edge) else "" for edge in (secret[0], secret[-1]))
            text = re.sub(f"{before}{re.escape(secret)}{after}", MASK, text)
    text = "\n".join(map(_without_users, text.split("\n")))
    for pattern in SECRETS:
        text = pattern.sub(rf"\g<name>{MASK}", text)
    return text


def as_line(message: object) -> str:
    """Return a message in one line of at most 1,000 characters, without secrets; its middle is left out."""
    text = str(message)
    if len(text) > LONGEST_CLEANED:  # words are dropped whole: half a URL could not be cleaned
        half = LONGEST_CLEANED // 2
        text = f"{text[:half].rpartition(' ')[0]} ... {text[-half:].partition(' ')[2]}"
    return _shorten(" ".join("".join(c if c.isprintable() else " " for c in without_password(text)).split()))


def format_traceback(error: BaseException) -> str:
    """Return the traceback of an error and its causes, without passwords and in lines of readable length."""
    lines = without_password("".join(traceback.format_exception(error))).split("\n")
    return "\n".join(map(_shorten, lines))


class Formatter(logging.Formatter):
    """Formats log records like the standard formatter, with passwords removed from message and traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the formatted record."""
        return without_password(super().format(record))


def _shorten(line: str) -> str:
    if len(line) <= LONGEST_LINE:
        return line
    tail = LONGEST_LINE // 3  # the remedy
    return f"{line[: LONGEST_LINE - tail - 5]} ... {line[-tail:]}"


def _without_users(line: str) -> str:
    parts, end = [], 0
    while (start := line.find("//", end) + 2) > 1:
        parts.append(line[end:start])
        end = _end_of_user(line, start)
        head = _match(HEAD, line, end)
        if end == start and ":" in head[0] and "@" not in head[0] and not HOST.fullmatch(head[0]):
            parts.append(f"{head[0].partition(':')[0]}:{MASK}")  # cut off before its host
            end = _match(WORD, line, end).end()
    return "".join([*parts, line[end:]])


def _end_of_user(line: str, start: int) -> int:
    """Return the end of the user and password that follow ``//``, the @ included; without any, the start.

    A password may contain what a URL should quote: in a word, everything up to its last @ belongs to it. With spaces
    in it, everything up to the last @ of the line, or up to the next URL.
    """
    head = _match(HEAD, line, start)
    if ":" not in head[0]:
        return line.rfind("@", start, head.end()) + 1 or start
    word = _match(WORD, line, start)
    if HOST.fullmatch(head[0]):  # unless a password begins with digits: an @ in the path says so
        return line.rfind("@", start, start + len(word[0].partition("?")[0])) + 1 or start
    url = line.find("://", start, start + LONGEST_USER)
    across = line.rfind("@", start, url if url >= 0 else start + LONGEST_USER)
    return max(line.rfind("@", start, word.end()), across) + 1 or start


def _match(pattern: re.Pattern[str], line: str, start: int) -> re.Match[str]:
    match = pattern.match(line, start)
    assert match is not None, "the pattern also matches nothing"
    return match
