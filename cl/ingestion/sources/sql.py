"""Rows from a database: stream the result of a query."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from cl.errors import SourceError
from cl.extras import describe_missing
from cl.heavy import pd
from cl.ingestion.sources import InputBatch, Source

if TYPE_CHECKING:
    from sqlalchemy import URL, CursorResult

log = logging.getLogger(__name__)
SECRET_KEYS = ("pass", "pwd", "secret", "token", "key")


class Sql(Source):
    """The rows of one query, as one batch; ``url: env:NAME`` keeps the password out of files.

    >>> Sql(url="env:ROWS_URL", query="select id, text, label from messages").batch
    'sql'
    """

    url: str = Field(description="SQLAlchemy URL; `env:NAME` reads it from the environment, so that secrets stay there")
    query: str = Field(description="The SELECT whose rows are read")
    batch: str = Field("sql", description="Name of the experience made from the new rows")

    def batches(self, root: Path, *, chunk_rows: int) -> Iterator[InputBatch]:
        """Yield a single batch; the query runs when its chunks are read.

        Raises:
            SourceError: the URL, the database or the query is wrong; the message contains no password.
        """
        url = _resolve_sqlite(self._parse_url(), root)
        yield InputBatch(name=self.batch, origin=format_url(url), chunks=self._chunks(url, chunk_rows))

    def _parse_url(self) -> URL:
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError

        text = self.url
        if text.startswith("env:"):
            text = os.environ.get(text.removeprefix("env:"), "")
            if not text:
                raise SourceError(f"url '{self.url}': the environment variable {self.url[4:]} is not set")
        try:
            return make_url(text)
        except (ArgumentError, ValueError):
            raise SourceError("url: not a SQLAlchemy URL, such as postgresql://user:password@host/name") from None

    def _chunks(self, url: URL, chunk_rows: int) -> Iterator[pd.DataFrame]:
        from sqlalchemy import create_engine
        from sqlalchemy.exc import SQLAlchemyError

        try:
            engine = create_engine(url)
            try:
                with engine.connect() as connection:
                    options = {"yield_per": chunk_rows, "stream_results": True, "no_parameters": True}
                    result = connection.exec_driver_sql(self.query, execution_options=options)
                    yield from _to_frames(result, chunk_rows)
            finally:
                engine.dispose()
        except ModuleNotFoundError as error:
            raise SourceError(f"{format_url(url)}: {describe_missing(error)}") from None
        except SQLAlchemyError as error:
            raise SourceError(f"{format_url(url)}: {_hide_secrets(error, url)}") from None


def format_url(url: URL) -> str:
    """Return a URL without user, password and options, safe to log."""
    from sqlalchemy import URL

    return URL.create(url.drivername, host=url.host, port=url.port, database=url.database).render_as_string()


def _to_frames(result: CursorResult[Any], chunk_rows: int) -> Iterator[pd.DataFrame]:
    if not result.returns_rows:
        raise SourceError("query: returns no rows; it must be a SELECT")
    names = list(result.keys())
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise SourceError(f"query: names a column twice: {', '.join(repeated)}; rename one with AS")
    for rows in result.partitions(chunk_rows):
        columns = zip(names, zip(*rows, strict=True), strict=True)
        yield pd.DataFrame({name: pd.Series(list(values), dtype=object) for name, values in columns})


def _resolve_sqlite(url: URL, root: Path) -> URL:
    """Return the URL with a SQLite file's path resolved inside ``root``; other URLs unchanged."""
    file = url.database
    if url.get_backend_name() != "sqlite" or not file or file == ":memory:" or file.startswith("file:"):
        return url
    if not (root / file).is_file():
        raise SourceError(f"{root / file}: no such database")
    return url.set(database=str(root / file))


def _hide_secrets(error: Exception, url: URL) -> str:
    """Return an error's message in one line, with the URL's secrets masked."""
    text = " ".join(str(getattr(error, "orig", None) or error).split())
    secrets = [url.password, *(value for key, value in url.query.items() if key.lower().endswith(SECRET_KEYS))]
    for secret in secrets:
        if secret:
            text = text.replace(str(secret), "***")
    return text
