"""Ingest from the configured source."""

from __future__ import annotations

from cl import plugins
from cl.config import Config
from cl.ingestion.ingest import ingest, ingest_settled
from cl.ingestion.sources import Source
from cl.records import Experience
from cl.stores.stores import Stores


def read_source(config: Config, stores: Stores, *, settle: float | None = None) -> list[Experience]:
    """Ingest from the configured source, if it holds rows; with ``settle``, only if unchanged for so many seconds."""
    if config.data.source is None:
        return []
    source = plugins.build(Source, config.data.source)
    if source.nothing_there(stores.project.root):
        return []
    if settle is not None:
        return ingest_settled(config, stores.project, source, settle=settle)
    return ingest(config, stores.project, source)
