"""The drift check of a cycle, made before or within it."""

from __future__ import annotations

from pathlib import Path

from cl import plugins
from cl.config import Config
from cl.cycle.identity import CheckNumber, CycleStart, journal_folder
from cl.drift.detect import detect_drift
from cl.drift.detectors import Detector
from cl.records import Drift
from cl.stores.data.correction_records import corrected_since
from cl.stores.journal import Executor, Journal, inline
from cl.stores.mlflow.past_cycles import PastCycles
from cl.stores.stores import Stores
from cl.stores.version_folder import load_history

QUIET_CHECKS = 500
"""The most earlier checks without an alarm that say how widely a detector scatters: the newest."""


def check_drift(
    config: Config, stores: Stores, start: CycleStart, champion: Path | None, *, executor: Executor = inline
) -> Drift:
    """Return the drift in a cycle's experience.

    The result is recorded in the cycle's journal, so a check made before the cycle is not repeated within it.
    """
    journal, past = Journal(journal_folder(stores) / start.id, stores.project.root), stores.registry.runs.past
    if champion and stores.experiences.are_descriptions(load_history(champion).learnt):
        champion = None  # it has seen no row that others could be compared with
    return journal.once(detect_drift, executor)(
        _for_descriptions(config) if stores.experiences.are_descriptions([start.experience]) else config,
        experience=start.experience,
        champion=champion,
        rows=stores.experiences,
        folder=journal.folder,
        check=_check_number(stores, journal, past) if champion else 1,
        replaced=corrected_since(stores.project, load_history(champion).corrections) if champion else (),
        quiet=past.quiet_checks(QUIET_CHECKS),
    )


def _for_descriptions(config: Config) -> Config:
    """Return the configuration without the detectors that compare texts: descriptions differ from what users write."""
    detectors = [spec for spec in config.drift.detectors if plugins.build(Detector, spec).name == "new_labels"]
    return config.model_copy(update={"drift": config.drift.model_copy(update={"detectors": detectors})})


def _check_number(stores: Stores, journal: Journal, past: PastCycles) -> int:
    """Return the number of this drift check in the stream: assigned before the test, and kept when it is resumed.

    An experience that is tested again, with a new champion or on request, is a new check: if it reused a number, one
    share of ``drift.alpha`` would be spent twice.
    """
    if (known := journal.read("check", CheckNumber)) is not None:
        return known.number
    number = stores.next_check(past.last_check(), journal.folder.name)
    journal.write("check", CheckNumber(number=number))
    return number
