"""Check whether a possibly remote store answers: within seconds, with one-line errors that hide passwords."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from cl.errors import StoreError
from cl.process.progress import stage
from cl.redaction import without_password
from cl.stores.error_messages import first_line, translate_store_errors

if TYPE_CHECKING:
    import sqlalchemy as sa

log = logging.getLogger(__name__)
CONNECT_SECONDS = 5
LOCK_SECONDS = 30


def check_reachable(uri: str, store: str) -> None:
    """Check that the server or database at a URI answers; leave other kinds of URI to their library.

    Raises:
        StoreError: it does not answer, or its driver is not installed.
    """
    if uri.startswith(("http://", "https://")):
        _reach_http(uri, store)
    elif "://" in uri:
        open_database(uri, store).dispose()


@contextmanager
def guard_first_use(uri: str, store: str) -> Iterator[None]:
    """Guard the first use of a store, which creates its tables.

    Processes that open a fresh SQLite store at the same time crash in MLflow's migrations, so they enter one at a
    time; somebody who may only read it creates no tables and waits for nobody. Any other store must answer first,
    because MLflow itself would keep retrying for minutes.
    """
    from filelock import FileLock

    if not uri.startswith("sqlite:///"):
        check_reachable(uri, store)
        yield
        return
    database = Path(uri.removeprefix("sqlite:///"))
    if database.is_file() and not os.access(database.parent, os.W_OK):
        yield
        return
    with FileLock(f"{database}.lock", timeout=LOCK_SECONDS * 4):
        with nullcontext() if database.exists() else stage(f"create {database.name}"):
            yield


def open_database(uri: str, store: str) -> sa.Engine:
    """Return an engine for a database after one successful connection.

    Raises:
        StoreError: the URI is invalid, its driver is not installed, or the database does not answer.
    """
    import sqlalchemy as sa

    with translate_store_errors(store):
        url = sa.make_url(uri)
        engine = sa.create_engine(url, connect_args=_connect_args(url), poolclass=sa.NullPool)
        if url.get_backend_name() == "postgresql" and not sa.event.contains(sa.Engine, "begin", _set_lock_timeout):
            sa.event.listen(sa.Engine, "begin", _set_lock_timeout)
        engine.connect().close()
        return engine


def _reach_http(uri: str, store: str) -> None:
    import requests

    with translate_store_errors(store):
        try:
            requests.get(uri, timeout=CONNECT_SECONDS, stream=True).close()
        except requests.exceptions.SSLError:
            # the server answered; whether to trust its certificate is MLflow's own setting
            return
        except requests.exceptions.RequestException as error:
            raise StoreError(
                f"{without_password(store)}: no answer ({_failure_reason(error)}); is it running?"
            ) from None


def _failure_reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.exceptions.Timeout):
        return f"waited {CONNECT_SECONDS} s"
    return "connection failed" if isinstance(error, requests.exceptions.ConnectionError) else first_line(error)


def _set_lock_timeout(connection: sa.Connection) -> None:
    """Limit how long a transaction waits for a lock; by default Postgres waits forever.

    The listener is registered for all engines, because MLflow creates its own. The limit is set in each transaction,
    so that it works through any connection pooler.
    """
    if connection.dialect.name == "postgresql" and not connection.dialect.is_async:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")


def _connect_args(url: sa.URL) -> dict[str, int]:
    """Return the driver's timeout: for a lock in SQLite, for the connection to a server."""
    if url.get_backend_name() == "sqlite":
        return {"timeout": LOCK_SECONDS}
    has_timeout = url.get_driver_name() in ("psycopg", "psycopg2", "pymysql", "mysqldb")
    return {"connect_timeout": CONNECT_SECONDS} if has_timeout and "connect_timeout" not in url.query else {}
