"""How often drift is seen that is not there, and how many rows it takes to see drift that is.

    python bench/drift.py alarms DATA [--sequences 200] [--checks 20] [--rows 200] [--jobs 2]
    python bench/drift.py power DATA [--repeats 10] [--peer ALIBI/bin/python] [--jobs 2] [--stream NAME]

alarms: sequences of checks on rows of CLINC150 that all come from where the reference came from, with the default
detectors and drift.alpha = 0.05; printed is the share of sequences with any alarm.

power: rows until four of five resamples alarm, at a false-alarm rate of 5 % for one check: a domain that was held out
of CLINC150 enters at a share of the traffic; arXiv 2008 to 2010 against each later year; other shares of the labels
alone; typing errors in a tenth of the words. Beside it, on the same rows: ours without the detectors that need labels,
Evidently's default preset (half of the columns drifted), and, with --peer, alibi-detect's MMD on the same embeddings
(an environment with `pip install alibi-detect torch`).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from multiprocessing.pool import Pool
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from cl.backtesting.stream import read_stream
from cl.config import Config, load, parse
from cl.drift.detect import compare_snapshots
from cl.models.feature_cache import cached_in
from cl.models.learner import Learner
from cl.models.persistence import load_learner
from cl.models.snapshot import Snapshot, take_snapshot
from cl.training.train import train

SIZES = [25, 50, 100, 200, 400, 800, 1600]
REFERENCE = 1_000
NEEDS_LABELS = {"new_labels", "label_mix", "performance"}
EXAMPLES = Path(__file__).parent.parent / "examples"


@dataclass(frozen=True)
class Scenario:
    """A change: a reference, and a way to draw so many rows after it."""

    name: str
    reference: Snapshot
    draw: Callable[[int, np.random.Generator], Snapshot]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["alarms", "power"])
    parser.add_argument("data", type=Path, help="folder that holds clinc150 and arxiv_cs")
    parser.add_argument("--sequences", type=int, default=200)
    parser.add_argument("--checks", type=int, default=20)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--stream", dest="streams", action="append", choices=STREAMS, help="for power; default: all")
    parser.add_argument("--peer", help="python of an environment that has alibi-detect")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, multiprocessing.get_context("spawn").Pool(given.jobs, single) as pool:
        folder = Path(name)
        with cached_in(folder / "features.sqlite"):
            if given.what == "alarms":
                alarms(given.data, folder, given.sequences, given.checks, given.rows, pool)
            else:
                power(given.data, folder, given.repeats, given.peer, pool, given.streams or list(STREAMS))


def single() -> None:
    torch.set_num_threads(1)


def alarms(data: Path, folder: Path, sequences: int, checks: int, rows: int, pool: Pool) -> None:
    inside, _ = clinc(data, folder, held_out=None)
    walked = partial(alarms_in, inside, checks, rows)
    found = list(tqdm(pool.imap(walked, range(sequences)), total=sequences, unit="sequence", disable=None))
    loud = [names for names in found if names]
    print(f"sequences of {checks} checks of {rows} rows with any false alarm: {len(loud)} of {sequences}")
    print(f"by: {', '.join('+'.join(names) for names in loud) or 'none'}")


def alarms_in(inside: Snapshot, checks: int, rows: int, sequence: int) -> list[str]:
    """Return the detectors that alarm first in a sequence of checks without drift; none where none does."""
    order = np.random.default_rng(sequence).permutation(len(inside.frame))
    reference, config = cut(inside, order[:REFERENCE]), settings()
    for check in range(1, checks + 1):
        new = cut(inside, order[REFERENCE + (check - 1) * rows : REFERENCE + check * rows])
        seen = compare_snapshots(config, f"{sequence}-{check}", reference, new, folder=Path("unused"), check=check)
        if seen.drifted:
            return [one.detector for one in seen.findings if one.drifted]
    return []


def power(data: Path, folder: Path, repeats: int, peer: str | None, pool: Pool, streams: list[str]) -> None:
    methods = ["perennial", "without labels", "evidently", *(["alibi-detect mmd"] if peer else [])]
    print(f"{'rows needed':34}" + "".join(f"{name:>18}" for name in methods))
    for scenario in chain.from_iterable(STREAMS[name](data, folder) for name in streams):
        rng = np.random.default_rng(0)
        drawn = {size: [scenario.draw(size, rng) for _ in range(repeats)] for size in SIZES}
        found = {
            "perennial": needed(drawn, partial(ours, scenario.reference), pool),
            "without labels": needed(drawn, partial(ours, scenario.reference, labels=False), pool),
            "evidently": needed(drawn, partial(evidently, scenario.reference), pool),
        }
        if peer:
            found["alibi-detect mmd"] = alibi(peer, folder, scenario.reference, drawn)
        print(f"{scenario.name:34}" + "".join(f"{found[name]:>18}" for name in methods), flush=True)


def needed(drawn: dict[int, list[Snapshot]], alarm: Callable[[Snapshot, int], bool], pool: Pool) -> str:
    for size, news in drawn.items():
        if sum(pool.starmap(alarm, [(new, at) for at, new in enumerate(news)])) >= 0.8 * len(news):
            return str(size)
    return f"> {SIZES[-1]}"


def ours(reference: Snapshot, new: Snapshot, at: int, *, labels: bool = True) -> bool:
    config = settings()
    kept = [one for one in config.drift.detectors if labels or one not in NEEDS_LABELS]
    config = parse({"drift": {"report": "off", "detectors": kept, "alpha": one_check(0.05)}}, where="bench")
    return compare_snapshots(config, str(at), reference, new, folder=Path("unused")).drifted


def one_check(level: float) -> float:
    """Return the alpha whose first check is held against this level."""
    from cl.statistics import alpha_spending

    return level / alpha_spending(1.0, 1)


def evidently(reference: Snapshot, new: Snapshot, at: int) -> bool:
    from cl.drift.evidently_report import write_drift_report

    with tempfile.TemporaryDirectory() as folder:
        written = write_drift_report(reference, new, Path(folder), seed=0)
        found = json.loads((written / "drift.json").read_text()) if written else {"metrics": []}
    shares = [one["value"]["share"] for one in found["metrics"] if "DriftedColumnsCount" in str(one["metric_name"])]
    return any(share >= 0.5 for share in shares)


def alibi(peer: str, folder: Path, reference: Snapshot, drawn: dict[int, list[Snapshot]]) -> str:
    pairs = {f"{size}-{at}": new.embeddings for size, news in drawn.items() for at, new in enumerate(news)}
    np.savez(folder / "pairs.npz", reference=reference.embeddings, **pairs)
    script = str(Path(__file__).parent / "peers" / "alibi_side.py")
    done = subprocess.run([peer, script, str(folder / "pairs.npz")], check=True, stdout=subprocess.PIPE, text=True)
    size = int(done.stdout.splitlines()[-1])
    return str(size) if size else f"> {SIZES[-1]}"


def domains(data: Path, folder: Path) -> Iterator[Scenario]:
    for domain in ("travel", "kitchen_and_dining"):
        inside, outside = clinc(data, folder, held_out=domain)
        for share in (0.05, 0.1, 0.2, 0.5):
            yield entering(f"{domain} enters at {share:.0%}", inside, outside, share)
    inside, _ = clinc(data, folder, held_out=None)
    yield shifted("labels in other shares", inside)
    yield mistyped("typing errors in 10 % of words", inside, load_learner(folder / "all"))


def entering(name: str, inside: Snapshot, outside: Snapshot, share: float) -> Scenario:
    order = np.random.default_rng(1).permutation(len(inside.frame))
    rest = cut(inside, order[REFERENCE:])

    def draw(size: int, rng: np.random.Generator) -> Snapshot:
        strangers = rng.binomial(size, share)
        return joined(some(rest, size - strangers, rng), some(outside, strangers, rng))

    return Scenario(name, cut(inside, order[:REFERENCE]), draw)


def shifted(name: str, inside: Snapshot) -> Scenario:
    """A fifth of the labels become three times as frequent."""
    order = np.random.default_rng(1).permutation(len(inside.frame))
    rest = cut(inside, order[REFERENCE:])
    labels = sorted(rest.frame["label"].unique())
    weights = rest.frame["label"].isin(labels[::5]).map({True: 3.0, False: 1.0}).to_numpy()

    def draw(size: int, rng: np.random.Generator) -> Snapshot:
        return cut(rest, rng.choice(len(rest.frame), size, replace=False, p=weights / weights.sum()))

    return Scenario(name, cut(inside, order[:REFERENCE]), draw)


def mistyped(name: str, inside: Snapshot, learner: Learner) -> Scenario:
    order = np.random.default_rng(1).permutation(len(inside.frame))
    rows = cut(inside, order[REFERENCE : REFERENCE + 2 * SIZES[-1]]).frame
    rng = np.random.default_rng(2)
    wrong = rows[["id", "label"]].assign(text=[typed_badly(text, rng) for text in rows["text"]], date=None)
    after = take_snapshot(learner, wrong.reset_index(drop=True))
    return Scenario(name, cut(inside, order[:REFERENCE]), lambda size, rng: some(after, size, rng))


def typed_badly(text: str, rng: np.random.Generator) -> str:
    """Swap two letters in a tenth of the words."""
    words = text.split()
    for at, word in enumerate(words):
        if len(word) > 2 and rng.uniform() < 0.1:
            place = int(rng.integers(0, len(word) - 1))
            words[at] = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    return " ".join(words)


def years(data: Path, folder: Path) -> Iterator[Scenario]:
    config = load(EXAMPLES / "arxiv" / "cl.yaml")
    experiences, found = read_stream(config, data / "arxiv_cs", folder / "streams")
    ids = [one.id for one in found]
    train(config, champion=None, new=ids[:3], past=[], rows_of=experiences.rows_of, folder=folder / "arxiv")
    learner = load_learner(folder / "arxiv")
    unseen = {one: unseen_rows(experiences.rows_of, [one]) for one in ids}
    before = take_snapshot(learner, pd.concat([unseen[one] for one in ids[:3]], ignore_index=True))
    reference = cut(before, np.random.default_rng(1).permutation(len(before.frame))[:REFERENCE])
    for one in ids[3:]:
        rows = pd.concat([experiences.rows_of([one], "train"), unseen[one]], ignore_index=True)
        after = take_snapshot(learner, rows)
        yield Scenario(f"arXiv 2008-2010, then {one[-4:]}", reference, lambda size, rng, a=after: some(a, size, rng))


STREAMS = {"clinc150": domains, "arxiv_cs": years}


def clinc(data: Path, folder: Path, held_out: str | None) -> tuple[Snapshot, Snapshot]:
    """Return unseen rows of the domains that a closed-form champion has learnt, and rows of the one it has not."""
    config = load(EXAMPLES / "clinc150" / "cl.yaml")
    config = parse({**config.model_dump(by_alias=True), "strategy": {"name": "ranpac", "features": 2_000}}, where="b")
    experiences, found = read_stream(config, data / "clinc150", folder / "streams")
    known = [one.id for one in found if one.name != held_out]
    if held_out and len(known) == len(found):
        raise SystemExit(f"no domain {held_out}: {', '.join(one.name for one in found)}")
    place = folder / (held_out or "all")
    if not place.exists():
        train(config, champion=None, new=known, past=[], rows_of=experiences.rows_of, folder=place)
    learner = load_learner(place)
    inside = take_snapshot(learner, unseen_rows(experiences.rows_of, known))
    strange = [one.id for one in found if one.id not in known]
    outside = (
        take_snapshot(learner, experiences.rows_of(strange, "train"))
        if strange
        else cut(inside, np.array([], dtype=int))
    )
    return inside, outside


def unseen_rows(rows_of: Callable[[list[str], str], pd.DataFrame], ids: list[str]) -> pd.DataFrame:
    return pd.concat([rows_of(ids, split) for split in ("validation", "test")], ignore_index=True)


def settings() -> Config:
    return parse({"drift": {"report": "off", "alpha": 0.05}}, where="bench")


def cut(side: Snapshot, rows: np.ndarray) -> Snapshot:
    return Snapshot(side.frame.iloc[rows].reset_index(drop=True), side.embeddings[rows], side.known_labels)


def some(side: Snapshot, size: int, rng: np.random.Generator) -> Snapshot:
    return cut(side, rng.choice(len(side.frame), size, replace=size > len(side.frame)))


def joined(one: Snapshot, other: Snapshot) -> Snapshot:
    frame = pd.concat([one.frame, other.frame], ignore_index=True)
    return Snapshot(frame, np.concatenate([one.embeddings, other.embeddings]), one.known_labels)


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
