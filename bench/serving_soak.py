"""The soak of bench/serving.py: promotions and rollbacks under load, and what clients and memory saw of them."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from serving_servers import BASE, loading, ours, started

from cl import config
from cl.promotion.by_hand import promote_by_hand, rollback
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import Stores, open_stores

NAME = "bench"


@dataclass(frozen=True)
class Reign:
    """When a version was champion, in seconds since 1970; a move has a beginning and an end, between which it is."""

    version: str
    since: float
    surely: float
    """From when on it was beyond doubt."""


def soak(project: ProjectFolder, texts: Path, minutes: float, moves: list[str], versions: int, workers: int) -> None:
    """Move the champion under load and print what the clients and the memory saw."""
    stores = open_stores(project, config.load(project.config))
    copied(project, stores, versions)
    lines, memory, seconds = project.root / "answers.txt", list[tuple[float, float]](), minutes * 60
    with started(ours(project, workers), f"{BASE}/readyz") as server:
        began = time.time()
        reigns = [Reign(str(stores.ledger.champion(NAME)), 0.0, 0.0)]
        load = subprocess.Popen(
            loading(f"{BASE}/predict", texts, 64, seconds, "--answers", str(lines)), stdout=subprocess.PIPE
        )
        for number, move in enumerate(moves, 1):
            wait_and_watch(began + seconds * number / (len(moves) + 1), server.pid, memory)
            reigns.append(moved(project, stores, move, versions))
        wait_and_watch(began + seconds, server.pid, memory)
        told = json.loads(load.communicate()[0])
    print(f"load: {told}")
    report(lines, reigns)
    tell_memory(memory)


def copied(project: ProjectFolder, stores: Stores, versions: int) -> None:
    """Register the two versions again, under new numbers, until there are so many: each is loaded by itself."""
    for number in range(len(stores.registry.versions()) + 1, versions + 1):
        of = str(2 - number % 2)
        folder, cycle = stores.champion_folder(of), f"copy-{number}"
        assert folder is not None
        run = stores.registry.runs.start_run(cycle, cycle, {})
        tags = {"cl.cycle_id": cycle, "cl.gates": "passed"}
        assert stores.registry.log_version(run, folder, tags=tags, metrics={}) == str(number)


def moved(project: ProjectFolder, stores: Stores, move: str, versions: int) -> Reign:
    """Move the champion to the next version, or back; return its reign."""
    next_one = str(int(stores.ledger.champion(NAME) or 0) % versions + 1)
    with project.lock(30):
        since = time.time()
        if move == "rollback":
            version = rollback(stores.registry, stores.ledger, None, why="soak").to_version
        else:
            version = next_one
            promote_by_hand(stores.registry, stores.ledger, version, why="soak", despite_gates=True)
    assert stores.ledger.champion(NAME) == version, f"the {move} to version {version} was refused"
    return Reign(str(version), since, time.time())


def report(lines: Path, reigns: list[Reign]) -> None:
    """Print whether each answer's version was champion when it was asked or answered, and if not, for how long not."""
    rows = [line.split() for line in lines.read_text().splitlines()]
    good = [(float(asked), float(done), one[0]) for asked, done, status, *one in rows if status == "200"]
    late = [over for asked, done, version in good if (over := lateness(version, asked, done, reigns)) > 0]
    took = np.array([done - asked for asked, done, _ in good])
    print(f"answers: {len(good)}, from a version that was champion when asked or answered: {len(good) - len(late)}")
    print(f"from another: {len(late)}, asked at most {max(late, default=0.0):.2f} s after its time")
    held = [max((d - a for a, d, _ in good if a <= one.surely <= d), default=0.0) for one in reigns[1:]]
    print(f"longest answer around a move: median {np.median(held):.2f} s, at most {max(held):.2f} s")
    print(f"longest answer of all: {took.max():.2f} s")


def lateness(version: str, asked: float, done: float, reigns: list[Reign]) -> float:
    """Return the seconds from the end of a version's time until it was asked; 0 where it was champion meanwhile."""
    ends = [one.surely for one in reigns[1:]] + [float("inf")]
    own = [(one.since, end) for one, end in zip(reigns, ends, strict=True) if one.version == version]
    if any(since <= done and end >= asked for since, end in own):
        return 0.0
    return min((asked - end for _, end in own if end < asked), default=float("inf"))


def tell_memory(memory: list[tuple[float, float]]) -> None:
    """Print how resident memory went, and its trend in the second half: a server of one minute grows still."""
    at, size = np.array(memory).T
    tenths = [round(float(part.mean())) for part in np.array_split(size, 10)]
    late = slice(len(size) // 2, None)
    slope = np.polyfit((at[late] - at[0]) / 3600, size[late], 1)[0]
    print(f"resident memory in MB, mean of each tenth of the time: {tenths}; most: {size.max():.0f}")
    print(f"its trend in the second half: {slope:+.0f} MB an hour")


def wait_and_watch(until: float, pid: int, memory: list[tuple[float, float]]) -> None:
    """Note the resident memory, with the time, every two seconds until a moment."""
    while time.time() < until:
        memory.append((time.time(), resident(pid)))
        time.sleep(min(2.0, max(0.0, until - time.time())))


def resident(pid: int) -> float:
    """Return the resident megabytes of a process and all its descendants."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(fields["Pid"])] = (int(fields["PPid"]), float(fields.get("VmRSS", "0 kB").split()[0]) / 1000)
    family, total = {pid}, 0.0
    while more := {one for one, (parent, _) in parents.items() if parent in family} - family:
        family |= more
    for one in family & parents.keys():
        total += parents[one][1]
    return total
