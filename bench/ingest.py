"""How fast a big CSV file is ingested, and in how much memory: `python bench/ingest.py [ROWS]`."""

from __future__ import annotations

import argparse
import logging
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from cl.config import Config
from cl.ingestion.ingest import ingest
from cl.ingestion.sources.files import Files
from cl.stores.project_folder import ProjectFolder

LABELS = 50
BLOCK = 20_000


def write_csv(path: Path, rows: int, seed: int = 17) -> None:
    """Write rows of 6 to 20 random words; one in a thousand lacks its label."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(rng.choice(letters, size=rng.integers(2, 10))) for _ in range(20_000)])
    with path.open("w", encoding="utf-8") as file:
        file.write("id,text,label\n")
        for start in range(0, rows, BLOCK):
            here = min(BLOCK, rows - start)
            lengths = rng.integers(6, 21, size=here)
            drawn = words[rng.integers(0, len(words), size=int(lengths.sum()))].tolist()
            labels = rng.integers(0, LABELS, size=here)
            at = 0
            for row in range(start, start + here):
                length, label = lengths[row - start], labels[row - start]
                answer = "" if row % 1000 == 999 else f"label-{label}"
                file.write(f"row-{row},{' '.join(drawn[at : at + length])},{answer}\n")
                at += length


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="?", default=1_000_000)
    rows = parser.parse_args().rows
    logging.basicConfig(level=logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.csv"
        write_csv(path, rows)
        project = ProjectFolder(Path(folder) / "project")
        for what in ("first", "again"):
            before = resource.getrusage(resource.RUSAGE_SELF)
            clock = time.perf_counter()
            made = ingest(Config(), project, Files(path=str(path)))
            seconds = time.perf_counter() - clock
            usage = resource.getrusage(resource.RUSAGE_SELF)
            cpu = usage.ru_utime + usage.ru_stime - before.ru_utime - before.ru_stime
            print(
                f"{what}: {rows:,} rows ({path.stat().st_size / 1e6:.0f} MB) in {seconds:.1f} s, "
                f"{cpu:.1f} s of CPU: "
                f"{rows / seconds:,.0f} rows/s; peak {usage.ru_maxrss / 1024:.0f} MB; "
                f"experiences {[one.id for one in made]}"
            )


if __name__ == "__main__":
    main()
