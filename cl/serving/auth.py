"""Who may ask: tokens from the environment, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os

from cl.errors import ConfigError


class TokenStore:
    """The tokens of clients; only their digests are kept."""

    def __init__(self, tokens: list[str]) -> None:
        self._digests = [_digest(token.encode()) for token in tokens]

    def known(self, authorization: bytes) -> str | None:
        """Return a name for the client whose header this is, or None; all tokens are compared, each whole."""
        scheme, _, given = authorization.partition(b" ")
        digest, found = _digest(given.strip()), False
        for known in self._digests:
            found |= hmac.compare_digest(known, digest)
        return digest.hex()[:16] if found and scheme.lower() == b"bearer" else None


def read_tokens(setting: str | None) -> TokenStore | None:
    """Return the tokens that the environment holds, separated by commas; None where anybody may ask.

    Raises:
        ConfigError: the variable that the configuration names is not set.
    """
    if setting is None:
        return None
    name = setting.removeprefix("env:")
    tokens = [token.strip() for token in os.environ.get(name, "").split(",") if token.strip()]
    if not tokens:
        raise ConfigError(f"serve.tokens: the environment variable {name} holds no token")
    return TokenStore(tokens)


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
