"""Ingest descriptions of labels, and rows from the configured source."""

from __future__ import annotations

from cl import plugins
from cl.config import Config
from cl.ingestion.describe_labels import ingest_descriptions
from cl.ingestion.ingest import ingest, ingest_settled
from cl.ingestion.sources import Source
from cl.records import Experience
from cl.stores.stores import Stores


def read_source(config: Config, stores: Stores, *, settle: float | None = None) -> list[Experience]:
    """Ingest changed descriptions of labels, then from the configured source, if it holds rows.

    Args:
        config: the descriptions and the source.
        stores: of the project; the caller holds its lock.
        settle: seconds for which the source must have been unchanged; None reads it as it is.

    Raises:
        ConfigError: a description cannot be a row; nothing was read.
        SourceError: the source cannot be read.
    """
    described = ingest_descriptions(config, stores.project)
    return [*([described] if described else []), *_read_rows(config, stores, settle)]


def _read_rows(config: Config, stores: Stores, settle: float | None) -> list[Experience]:
    if config.data.source is None:
        return []
    source = plugins.build(Source, config.data.source)
    if source.nothing_there(stores.project.root):
        return []
    if settle is not None:
        return ingest_settled(config, stores.project, source, settle=settle)
    return ingest(config, stores.project, source)
