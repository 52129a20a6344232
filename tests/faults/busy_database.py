"""Another process holds a database: for a while, which a run waits out, or for too long, which it says."""

from __future__ import annotations

from tests.faults.deeds import Hold, Impatient
from tests.faults.disk_full import told_plainly
from tests.faults.moments import Moment
from tests.faults.prepared import Prepared
from tests.faults.trial import Attempt

BUSY = "database busy for 3 seconds"
STUCK = "database busy for longer than anyone waits"
BEFORE = {"mlflow.db": Moment("Runs.start_run"), "ledger.db": Moment("Ledger.intend")}
HOLD = """
import os, sqlite3, sys, time
database, seconds, holding = sys.argv[1:]
held, end = sqlite3.connect(database, isolation_level=None, timeout=20), time.monotonic() + float(seconds)
held.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
while time.monotonic() < end and os.path.exists(holding):
    time.sleep(0.05)
held.execute("ROLLBACK")
"""


def for_a_while(prepared: Prepared, database: str) -> Attempt:
    """Hold a database for three seconds when a run comes to need it."""
    return waited_out(prepared, BUSY, database, _held(prepared, database, 3.0))


def too_long(prepared: Prepared, database: str, patience: int | None) -> Attempt:
    """Hold a database until the run gives up."""
    return given_up(prepared, STUCK, database, _held(prepared, database, 300.0), patience)


def waited_out(prepared: Prepared, fault: str, where: str, held: Hold) -> Attempt:
    """Hold something for a while: the run must wait."""

    def inject() -> list[str]:
        ended = prepared.run(before=held)
        return [] if ended.code == 0 else [f"did not wait: ended with {ended.code}: {ended.err[-300:]}"]

    return Attempt(prepared, fault, where, inject)


def given_up(prepared: Prepared, fault: str, where: str, held: Hold, patience: int | None) -> Attempt:
    """Hold something for longer than anyone waits: the run must say so.

    Args:
        prepared: the project.
        fault: its line in the table.
        where: what is held.
        held: holds it.
        patience: seconds that the run waits; None is as long as it always does.
    """
    before = held if patience is None else Impatient(patience, held)
    return Attempt(prepared, fault, where, lambda: told_plainly(prepared.run(before=before)), held.release)


def _held(prepared: Prepared, database: str, seconds: float) -> Hold:
    return Hold(
        BEFORE[database],
        prepared.place,
        code=HOLD,
        what=(str(prepared.place / "mlflow" / database),),
        seconds=seconds,
        holding=prepared.scratch / "holding",
    )
