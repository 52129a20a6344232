"""The drift check of a cycle, made before it or in it."""

from __future__ import annotations

from pathlib import Path

from cl.config import Config
from cl.cycle.identity import CheckNumber, CycleStart, count_checks, journal_folder
from cl.drift.detect import detect_drift
from cl.records import Cycle, Drift
from cl.stores.journal import Executor, Journal, inline
from cl.stores.stores import Stores


def check_drift(
    config: Config, stores: Stores, start: CycleStart, champion: Path | None, *, executor: Executor = inline
) -> Drift:
    """Return what has drifted in the experience of a cycle.

    It is written down in the cycle's journal, so that a look before the cycle and the cycle itself are one check.
    """
    journal, past = Journal(journal_folder(stores) / start.id), stores.registry.cycles()
    return journal.once(detect_drift, executor)(
        config,
        experience=start.experience,
        champion=champion,
        rows=stores.experiences,
        folder=journal.folder,
        check=_check_number(stores, journal, past) if champion else 1,
        quiet=[one.drift for one in past if one.decision.action == "none" and not one.drift.drifted],
    )


def _check_number(stores: Stores, journal: Journal, past: list[Cycle]) -> int:
    """Return which check of the stream a look is: taken before the test is made, and kept when the look is resumed.

    An experience that is tested once more, beside another champion or because a person asks, is another check: were
    its number another's as well, one share of ``drift.alpha`` would be spent twice.
    """
    if (known := journal.read("check", CheckNumber)) is not None:
        return known.number
    number = stores.next_check(count_checks(past), journal.folder.name)
    journal.write("check", CheckNumber(number=number))
    return number
