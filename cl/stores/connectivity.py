"""Whether a store that may be far away answers: asked within seconds, told in one line, without passwords."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cl.errors import StoreError
from cl.redaction import without_password
from cl.stores.error_messages import first_line, translate_store_errors

if TYPE_CHECKING:
    import sqlalchemy as sa

log = logging.getLogger(__name__)
CONNECT_SECONDS = 5
LOCK_SECONDS = 30


def check_reachable(uri: str, store: str) -> None:
    """Return when the server or database at a URI answers; a URI of another kind is left to its library.

    Raises:
        StoreError: it does not, or its driver is not installed.
    """
    if uri.startswith(("http://", "https://")):
        _reach_http(uri, store)
    elif "://" in uri:
        open_database(uri, store).dispose()


@contextmanager
def first_use(uri: str, store: str) -> Iterator[None]:
    """Enter when a store that makes its tables on first use may be opened.

    Processes that open a fresh SQLite store together crash in MLflow's migrations, so they go in one by one;
    a store elsewhere must answer first, for MLflow itself would go on trying for minutes.
    """
    from filelock import FileLock

    if not uri.startswith("sqlite:///"):
        check_reachable(uri, store)
        yield
        return
    with FileLock(uri.removeprefix("sqlite:///") + ".lock", timeout=LOCK_SECONDS * 4):
        yield


def open_database(uri: str, store: str) -> sa.Engine:
    """Return an engine on a database that has answered once.

    Raises:
        StoreError: the URI is none, its driver is not installed, or nobody answers.
    """
    import sqlalchemy as sa

    with translate_store_errors(store):
        url = sa.make_url(uri)
        engine = sa.create_engine(url, connect_args=_patience(url), poolclass=sa.NullPool)
        if url.get_backend_name() == "postgresql" and not sa.event.contains(sa.Engine, "begin", _wait_no_longer):
            sa.event.listen(sa.Engine, "begin", _wait_no_longer)
        engine.connect().close()
        return engine


def _reach_http(uri: str, store: str) -> None:
    import requests

    with translate_store_errors(store):
        try:
            requests.get(uri, timeout=CONNECT_SECONDS, stream=True).close()
        except requests.exceptions.SSLError:
            # somebody answered; whether the certificate counts is MLflow's own setting
            return
        except requests.exceptions.RequestException as error:
            raise StoreError(f"{without_password(store)}: no answer ({_reason(error)}); is it running?") from None


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.exceptions.Timeout):
        return f"waited {CONNECT_SECONDS} s"
    return "connection failed" if isinstance(error, requests.exceptions.ConnectionError) else first_line(error)


def _wait_no_longer(connection: sa.Connection) -> None:
    """Let a transaction give up a lock that another holds for too long; Postgres would wait for ever.

    It is told of all engines, as MLflow makes its own; said in each transaction, it passes through any pooler.
    """
    if connection.dialect.name == "postgresql" and not connection.dialect.is_async:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")


def _patience(url: sa.URL) -> dict[str, int]:
    """Return how long the driver waits: for SQLite on a lock, for a server on a connection."""
    if url.get_backend_name() == "sqlite":
        return {"timeout": LOCK_SECONDS}
    waits = url.get_driver_name() in ("psycopg", "psycopg2", "pymysql", "mysqldb")
    return {"connect_timeout": CONNECT_SECONDS} if waits and "connect_timeout" not in url.query else {}
