"""A finished cycle, as a report reads it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cl.records import Cycle, Decision, Drift, Experience, Validation


def made_cycle(**changes: Any) -> Cycle:
    """Return a cycle that learned nothing; keyword arguments replace its fields."""
    now = datetime(2024, 1, 1, tzinfo=UTC)
    experience = Experience(
        id="0001-x", name="x", source="x", ingested_at=now, rows={"train": 9, "test": 3}, labels={}, digest=""
    )
    fields: dict[str, Any] = {
        "id": "1",
        "experience": experience,
        "started_at": now,
        "seconds": 2.0,
        "data_version": "",
        "validation": Validation(passed=True),
        "drift": Drift(experience=experience.id, drifted=False),
        "decision": Decision(action="none", reasons=["nothing has changed that matters"]),
        **changes,
    }
    return Cycle(**fields)
