"""Client authentication: tokens from the environment, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os

from cl.errors import ConfigError


class BearerTokens:
    """The accepted client tokens; only their digests are kept."""

    def __init__(self, tokens: list[str]) -> None:
        self._digests = [_digest(token.encode()) for token in tokens]

    def known(self, authorization: bytes) -> str | None:
        """Return a name for the client with this header, or None; every token is compared in full."""
        scheme, _, given = authorization.partition(b" ")
        digest, matches = _digest(given.strip()), False
        for accepted in self._digests:
            matches |= hmac.compare_digest(accepted, digest)
        return digest.hex()[:16] if matches and scheme.lower() == b"bearer" else None


def read_tokens(setting: str | None) -> BearerTokens | None:
    """Return the comma-separated tokens of the environment, or None if no token is required.

    Raises:
        ConfigError: the configured environment variable is not set or holds no token.
    """
    if setting is None:
        return None
    name = setting.removeprefix("env:")
    tokens = [token.strip() for token in os.environ.get(name, "").split(",") if token.strip()]
    if not tokens:
        raise ConfigError(f"serve.tokens: the environment variable {name} holds no token")
    return BearerTokens(tokens)


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
