"""What tests of your own need: a registry and a ledger in memory, and small made-up rows, evaluations and encoders."""

from cl.testing._memory import Memory, MemoryRun, MemoryVersion
from cl.testing.memory import MemoryLedger, MemoryRegistry
from cl.testing.samples import (
    sample_evaluation,
    sample_offer,
    sample_rows,
    sample_snapshot,
    tiny_encoder,
    tiny_tokenizer,
)

__all__ = [
    "Memory",
    "MemoryLedger",
    "MemoryRegistry",
    "MemoryRun",
    "MemoryVersion",
    "sample_evaluation",
    "sample_offer",
    "sample_rows",
    "sample_snapshot",
    "tiny_encoder",
    "tiny_tokenizer",
]
