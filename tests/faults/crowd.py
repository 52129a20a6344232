"""A crowd: cycles that want the same project, and promotions that want the same champion's place, all at once."""

from __future__ import annotations

import time
from pathlib import Path

from tests.faults.invariants import broken
from tests.faults.prepared import Prepared
from tests.faults.trial import Attempt
from tests.support.warm import Ended, Running

WON = "won"
LOST = "lost: "


def cycles(prepared: Prepared, size: int) -> Attempt:
    """Start so many runs at once: one works, the others say so."""

    def inject() -> list[str]:
        ends = [one.end() for one in [prepared.start("run", "--plain") for _ in range(size)]]
        return [problem for one in ends for problem in _said_plainly(one, "another cycle is running here")]

    return Attempt(prepared, f"{size} cycles at once", "cl run", inject)


def cycles_and_promotions(prepared: Prepared, size: int) -> Attempt:
    """Start so many runs and promotions of versions that passed, as other machines would, without the lock."""

    def inject() -> list[str]:
        candidates = prepared.call(copies_of_champion, size)
        go = prepared.scratch / "go"
        go.unlink(missing_ok=True)
        try:
            promotions = [prepared.ask(promote_version, one, str(go)) for one in candidates]
            runs = [prepared.start("run", "--plain") for _ in range(size)]
            _when_compared(prepared.place, runs)
        finally:
            go.touch()  # the promotions wait for it, come what may
        said = [one.result() for one in promotions]
        ends = [one.end() for one in runs]
        moved = prepared.state().champions[1:]
        won = [version for version, one in zip(candidates, said, strict=True) if one == WON]
        all_lost = bool(moved) and all(one.startswith(LOST) for one in said)  # to a cycle that was first
        wrong = [] if won or all_lost else [f"no promotion won, and the ledger has {moved}; they said: {said}"]
        wrong += [f"version {one} won, and the ledger has {moved}" for one in won if one not in moved]
        wrong += [f"a promotion said: {one}" for one in said if one != WON and "\n" in one]
        return wrong + [problem for one in ends for problem in _said_plainly(one, "")]

    fault = f"{size} cycles and {size} promotions at once"
    return Attempt(prepared, fault, "from other processes", inject, alike=_same_learner)


def copies_of_champion(folder: Path, times: int) -> list[str]:
    """Register the champion so many times more, each as a version that passed its gates; return the versions."""
    from cl.stores.opened import open_project

    registry = open_project(folder).stores.registry
    (first,) = registry.versions()
    source = registry.runs.client.get_model_version(registry.model, first.version)
    with registry.runs.tracking():  # MLflow asks the store that is set for the logged model
        made = [
            registry.runs.client.create_model_version(
                registry.model, source.source, run_id=first.run_id, tags={**first.tags, "cl.cycle_id": f"copy-{at}"}
            )
            for at in range(times)
        ]
    return [str(one.version) for one in made]


def promote_version(folder: Path, version: str, go: str) -> str:
    """Promote a version when the starting shot is heard, from whatever champion is there; return how that ended."""
    from cl.errors import ConflictError, PerennialError
    from cl.promotion.promote import promote
    from cl.records import Registration
    from cl.stores.opened import open_project

    stores = open_project(folder).stores
    while not Path(go).exists():
        time.sleep(0.005)
    try:
        champion = stores.ledger.champion(stores.registry.model)
        passed = Registration(version=version, passed=True)
        promote(stores.registry, stores.ledger, passed, expected=champion, why="many at once")
    except ConflictError as error:
        return f"{LOST}{error}"
    except PerennialError as error:
        return str(error)
    return WON


def _when_compared(place: Path, runs: list[Running]) -> None:
    """Return when a cycle has compared its challenger with the champion, whose place is about to be taken."""
    while not list((place / ".cl" / "cycles").glob("*/gate.json")) and any(one.process.is_alive() for one in runs):
        time.sleep(0.01)


def _same_learner(prepared: Prepared) -> list[str]:
    """Return in what the champion differs from an undisturbed one: it has another number, and the same weights.

    The champion that a cycle began with may have lost its place to a copy; then the cycle is made once more.
    """
    state, undisturbed = prepared.state(), prepared.undisturbed
    found = broken(state, prepared.rows)
    serving = next((version for version, aliases in state.versions.items() if "champion" in aliases), "none")
    if serving != state.champions[-1]:
        found.append(f"champion is {serving} by alias, {state.champions[-1]} by the ledger")
    learnt = state.cycles[-1]
    final = learnt["champions"][1]
    if state.weights.get(final) != undisturbed.weights["2"]:
        found.append(f"version {final} has other weights than an undisturbed one")
    for what in ("losses", "scores", "experience", "verdict"):
        if learnt[what] != undisturbed.cycles[-1][what]:
            found.append(f"{what}: {learnt[what]}")
    for what in ("good", "quarantined", "drafts", "versioned", "open_moves", "journals"):
        if getattr(state, what) != getattr(undisturbed, what):
            found.append(f"{what} is not what it is undisturbed")
    return found


def _said_plainly(ended: Ended, reason: str) -> list[str]:
    if ended.code == 0:
        return []
    plain = ended.code == 1 and ended.err.strip().splitlines()[-1:] != [] and "Traceback" not in ended.err
    return [] if plain and reason in ended.err else [f"ended with {ended.code}: {ended.err[-400:]}"]
