"""Sources of labelled rows: one file per source; rows arrive in chunks so that memory stays bounded."""

from cl.ingestion.internal_columns import SPLIT
from cl.ingestion.sources._base import SPLIT_NAMES, InputBatch, Source, Stamp, stamp_of

__all__ = ["SPLIT", "SPLIT_NAMES", "InputBatch", "Source", "Stamp", "stamp_of"]
