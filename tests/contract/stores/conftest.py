"""The databases that a ledger may lie in."""

from tests.support.stores import any_uri  # noqa: F401
