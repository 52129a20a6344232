"""Who may use the page: tokens from the environment, each perhaps with the name of a person."""

from __future__ import annotations

import os
import re
from collections.abc import MutableMapping
from ipaddress import ip_address

from cl.errors import InputError
from cl.redaction import hide
from cl.serving.auth import BearerTokens

VARIABLE = "CL_UI_TOKEN"
NAMED = re.compile(r"(?P<name>[^\W\d_][\w .'-]{0,39}):(?P<token>.+)")


class TeamTokens(BearerTokens):
    """The accepted tokens, and the names of those who hold them."""

    def __init__(self, entries: list[str]) -> None:
        """Take entries of the form TOKEN or NAME:TOKEN.

        Raises:
            InputError: two entries have the same token.
        """
        named = [_split(entry) for entry in entries]
        tokens = [token for _, token in named]
        if len(set(tokens)) < len(tokens):
            raise InputError(f"{VARIABLE}: two entries have the same token; give each person one of their own")
        super().__init__(tokens)
        holders = ((self.known(f"Bearer {token}".encode()), name) for name, token in named)
        self._names = {holder: name for holder, name in holders if name is not None}

    def name_of(self, authorization: bytes) -> str | None:
        """Return the name of the person whose token this header holds; None: it names nobody."""
        return self._names.get(self.known(authorization))


def take_tokens(environment: MutableMapping[str, str] = os.environ) -> TeamTokens | None:
    """Return the tokens of the environment and remove them from it; None: there are none.

    No project's configuration can name the variable afterwards, and no message shows a token.

    Raises:
        InputError: two entries have the same token.
    """
    value = environment.pop(VARIABLE, "")
    entries = [entry.strip() for entry in value.split(",") if entry.strip()]
    hide(value, *entries, *(_split(entry)[1] for entry in entries))
    return TeamTokens(entries) if entries else None


def check_reach(host: str, tokens: TeamTokens | None) -> None:
    """Refuse to listen beyond this machine without a token.

    Raises:
        InputError: other machines could read and decide without one.
    """
    if tokens is None and not is_loopback(host):
        raise InputError(
            f"--host {host}: other machines can reach this address, and {VARIABLE} is not set; set it to a token, or "
            "to NAME:TOKEN,NAME:TOKEN for the people of a team"
        )


def is_loopback(host: str) -> bool:
    """Return whether an address to listen on can be reached from this machine only.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _split(entry: str) -> tuple[str | None, str]:
    match = NAMED.fullmatch(entry)
    return (match["name"].strip(), match["token"].strip()) if match else (None, entry)
