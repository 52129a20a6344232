"""Validate a batch as a whole; `check_rows` has checked its single rows on the way in."""

from __future__ import annotations

from cl.config import Config
from cl.ingestion.check_rows import count_reasons
from cl.records import Experience, Validation


def validate(config: Config, experience: Experience) -> Validation:
    """Decide whether a batch as a whole is fit to learn from; the problems say what is wrong.

    A small batch is no broken one: whether the rows that wait are enough is the decision's to say.
    """
    rules = config.validate_
    problems = []
    aside = experience.quarantined_rows
    arrived = experience.total + aside
    if aside > rules.max_quarantined * arrived:
        problems.append(
            f"{aside} of {arrived} rows ({aside / arrived:.0%}) are in quarantine "
            f"({count_reasons(experience.quarantined)}); "
            f"validate.max_quarantined allows {rules.max_quarantined:.0%}"
        )
    return Validation(passed=not problems, problems=problems)
