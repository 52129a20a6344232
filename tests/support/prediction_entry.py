"""One answer as a server logs it; imports nothing, for programs that a test starts and kills."""

from __future__ import annotations

from typing import Any


def entry(id: str, text: str | None = "lost card", **changes: Any) -> dict[str, Any]:
    return {
        "id": id, "recorded_at": 1_780_000_000.25, "version": 3, "role": "champion", "text": text, "label": "loss",
        "confidence": 0.75, "out_of_scope": False, "latency_ms": 4.5, "key": "customer 7", **changes,
    }  # fmt: skip
