from __future__ import annotations

import logging

import pytest

from cl.redaction import Formatter, format_traceback, holds_password, without_password


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:s3cret@server:5000/path: 500", "http://server:5000/path: 500"),
        ("postgresql+psycopg2://me:s3cr@et@db/cl", "postgresql+psycopg2://db/cl"),
        ("postgresql://me:s3/cret@db/cl and more", "postgresql://db/cl and more"),
        ("'https://t0ken@git.example/x'", "'https://git.example/x'"),
        ("postgresql://db/cl?user=me&password=s3cret&x=1", "postgresql://db/cl?user=me&password=***&x=1"),
        ("https://store/x?X-Amz-Signature=s3cret: 403", "https://store/x?X-Amz-Signature=***"),
        ("sqlite:////srv/a b/ledger.db, me@example.org", "sqlite:////srv/a b/ledger.db, me@example.org"),
    ],
)
def test_a_url_keeps_its_place_and_loses_its_secrets(text, shown) -> None:
    assert without_password(text).startswith(shown) and "s3c" not in without_password(text)


def test_only_a_password_makes_a_remote_unfit_for_a_file_that_git_keeps() -> None:
    assert holds_password("ssh://me:s3cret@host/x") and holds_password("s3://bucket?secret_key=1")
    assert not holds_password("ssh://me@host/x") and not holds_password("s3://bucket/x")


def test_tracebacks_and_log_lines_hold_none_either() -> None:
    try:
        try:
            raise ValueError("http://me:s3cret@server")
        except ValueError as error:
            raise RuntimeError("no") from error
    except RuntimeError as error:
        caught = error
    assert "ValueError: http://server" in format_traceback(caught)
    record = logging.LogRecord("x", 20, "", 1, "at %s", ("http://me:s3cret@server",), (RuntimeError, caught, None))
    shown = Formatter("%(message)s").format(record)
    assert shown.startswith("at http://server") and "s3cret" not in shown
