"""Another process holds a database: for a while, which a run waits out, or for too long, which it says."""

from __future__ import annotations

from tests.faults.deeds import HoldDatabase
from tests.faults.disk_full import told_plainly
from tests.faults.moments import Moment
from tests.faults.prepared import Prepared
from tests.faults.trial import Attempt

BUSY = "database busy for 3 seconds"
STUCK = "database busy for longer than anyone waits"
BEFORE = {"mlflow.db": Moment("Registry.start_run"), "ledger.db": Moment("Ledger.intend")}


def for_a_while(prepared: Prepared, database: str) -> Attempt:
    """Hold a database for three seconds when a run comes to need it."""

    def inject() -> list[str]:
        ended = prepared.run(before=_held(prepared, database, 3.0))
        return [] if ended.code == 0 else [f"did not wait: ended with {ended.code}: {ended.err[-300:]}"]

    return Attempt(prepared, BUSY, database, inject)


def too_long(prepared: Prepared, database: str) -> Attempt:
    """Hold a database until the run gives up."""
    held = _held(prepared, database, 300.0)

    def inject() -> list[str]:
        return told_plainly(prepared.run(before=held))

    return Attempt(prepared, STUCK, database, inject, held.release)


def _held(prepared: Prepared, database: str, seconds: float) -> HoldDatabase:
    return HoldDatabase(
        BEFORE[database],
        prepared.place,
        database=prepared.place / "mlflow" / database,
        seconds=seconds,
        holding=prepared.scratch / "holding",
    )
