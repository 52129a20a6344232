"""Passwords that a URL should quote, in the errors and logs of the libraries that get the URL."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from cl.config import load
from cl.errors import PerennialError
from cl.redaction import Formatter, as_line, format_traceback
from cl.stores.connectivity import check_reachable
from cl.stores.ledger.ledger import Ledger
from cl.stores.mlflow.registry import Registry
from cl.stores.stores import from_environment

PASSWORDS = [
    "zqx@wvkj",
    "zqx/wvkj",
    "zqx:wvkj",
    "zqx#wvkj",
    "zqx wvkj",
    "zqx%40wvkj",
    "zqx@w vkj@y",
    "zqx'wvkj",
    "12@wvkj",
]
PARTS = ("zqx", "wvk", "vkj")


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What a command with -v writes."""
    lines, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(lines), root.level
    handler.setFormatter(Formatter("%(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield lines
    root.removeHandler(handler)
    root.setLevel(level)


def use(kind: str, url: str, folder: Path) -> None:
    if kind == "ledger":
        Ledger(url).entries("m")
    elif kind == "registry":
        Registry(url, None, "m", kept=folder).initialise()
    else:
        check_reachable(url, f"MLflow at {url}")


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("resolved", [True, False], ids=["env", "literal"])
@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("ledger", "postgresql+psycopg2://me:{}@127.0.0.1:1/cl"),
        ("ledger", "mysql+nodriver://me:{}@127.0.0.1:1/cl"),
        ("ledger", "postgresql+psycopg2://127.0.0.1:1/cl?user=me&password={}"),
        ("registry", "postgresql+psycopg2://me:{}@127.0.0.1:1/cl"),
        ("server", "http://me:{}@127.0.0.1:1/mlflow"),
        ("server", "http://127.0.0.1:1/mlflow?token={}"),
    ],
)
def test_a_store_that_does_not_answer_shows_no_part_of_a_password(
    kind, url, resolved, password, log, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("ADDRESS", url.format(password))
    address = from_environment("stores.ledger_uri", "env:ADDRESS" if resolved else url.format(password))
    with pytest.raises(PerennialError) as refused:
        use(kind, address, tmp_path)
    shown = [as_line(refused.value), str(refused.value), *format_traceback(refused.value).split("\n"), log.getvalue()]
    shown = [line for line in shown if not line.startswith("    ")]  # lines of source text
    assert not [line for line in shown for part in PARTS if part in line]
    assert "127.0.0.1:1" in str(refused.value) or "nodriver" in str(refused.value)


@pytest.mark.parametrize(
    ("yaml", "value", "shown"),
    [
        ("serve: {tokens: 'env:SECRET'}", "wvkj-1, wvkj-2", "client sent wvkj-2"),
        ("stores: {ledger_key: 'env:SECRET'}", "wvkj key", "HMAC with b'wvkj key'"),
        ("stores: {ledger_uri: 'env:SECRET'}", "postgresql://me:zqx@wvkj@db/cl", 'could not resolve "wvkj@db"'),
        ("triggers: {notify: {webhook: 'env:SECRET'}}", "https://hooks.example/T0/wvkj", "retries exceeded: /T0/wvkj"),
        ("data: {source: {name: sql, url: 'env:SECRET', query: q}}", "mysql://me:zqx/wvkj@db", "no host zqx/wvkj"),
        ("stores: {ledger_uri: 'postgresql://me:zqx@wvkj@db/cl'}", "", 'could not resolve "wvkj@db"'),
    ],
)
def test_whatever_a_configuration_names_is_in_no_message_once_it_is_read(
    yaml, value, shown, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("SECRET", value)
    assert "wvkj" in as_line(shown)
    (tmp_path / "cl.yaml").write_text(yaml)
    load(tmp_path / "cl.yaml")
    record = logging.LogRecord("x", logging.INFO, "", 1, "%s", (shown,), None)
    for line in (as_line(shown), Formatter("%(message)s").format(record)):
        assert not [part for part in PARTS if part in line], line
