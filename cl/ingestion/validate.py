"""Validate a batch as a whole; `check_rows` has already checked its individual rows."""

from __future__ import annotations

from cl.config import Config
from cl.ingestion.check_rows import count_reasons
from cl.records import Experience, Validation


def validate(config: Config, experience: Experience) -> Validation:
    """Decide whether a batch as a whole is fit to learn from, and list its problems.

    A small batch is not a broken one: `cl.decision` decides whether enough rows are waiting.
    """
    rules = config.validate_
    problems = []
    quarantined = experience.quarantined_rows
    arrived = experience.total + quarantined
    if quarantined > rules.max_quarantined * arrived:
        problems.append(
            f"{quarantined} of {arrived} rows ({quarantined / arrived:.0%}) are in quarantine "
            f"({count_reasons(experience.quarantined)}); "
            f"validate.max_quarantined allows {rules.max_quarantined:.0%}"
        )
    return Validation(passed=not problems, problems=problems)
