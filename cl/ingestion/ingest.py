"""New rows become experiences: checked, compared with the whole stream, split, and written once."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cl import plugins
from cl.config import Config, SplitShares
from cl.errors import SourceError
from cl.ingestion.check_rows import (
    canonical_columns,
    check_rows,
    count_reasons,
    raw_rows,
    refuse_numeric_labels,
    split_column,
    split_names,
)
from cl.ingestion.deduplicate import REASONS, RowOutcome, deduplicate
from cl.ingestion.periods import split_into_periods
from cl.ingestion.sources import Batch, Source
from cl.ingestion.values import as_text, to_readable
from cl.records import SPLITS, Experience
from cl.stores.data.fingerprints import KnownRows, fingerprints, load_known, remember_fingerprints
from cl.stores.data.publish import publish, remove_drafts
from cl.stores.data.rejected_batches import RejectedBatch, read_rejected, write_rejected
from cl.stores.data.staging import Staged, staging_folder
from cl.stores.files import write_text
from cl.stores.project_folder import ProjectFolder
from cl.tasks import Task

log = logging.getLogger(__name__)
MAX_GROUPS = 300


@dataclass(frozen=True)
class _Outcome:
    """What became of one staged experience."""

    experience: Experience | None
    seen: int
    reasons: Counter[str]


def ingest(
    config: Config, project: ProjectFolder, source: Source, *, on_progress: Callable[[int], None] = lambda rows: None
) -> list[Experience]:
    """Return the experiences that a source's new rows became; none when every row was seen before.

    Rows that cannot be learnt from are kept apart under data/quarantine. Killed at any moment and repeated
    with the same input, it ends in the same state as undisturbed.

    Args:
        config: the columns, the limits and the split.
        project: where the experiences go; the caller holds its lock.
        source: where the rows come from.
        on_progress: told how many rows have been read so far.

    Raises:
        SourceError: an input cannot be read or holds no good row; it has changed nothing.
    """
    config = canonical_columns(config) if source.canonical else config
    source.check(project.root)
    made: list[Experience] = []
    with _reading(config, project, on_progress) as experiences_of:
        for batch in source.batches(project.root, chunk_rows=config.data.chunk_rows):
            made += experiences_of(batch)
    return made


def ingest_settled(config: Config, project: ProjectFolder, source: Source, *, settle: float) -> list[Experience]:
    """Ingest what nobody stands beside: only when it has changed since the last time, and nothing still writes to it.

    A batch that cannot be read must not keep the others waiting until somebody comes: it is left out, written down
    (`cl.stores.data.rejected_batches`), and tried again when it or the configuration has changed.

    Args:
        config: the columns, the limits and the split.
        project: where the experiences go; the caller holds its lock.
        source: where the rows come from; one that cannot be stamped is read every time.
        settle: seconds for which the newest file must have lain still.

    Raises:
        SourceError: the source as a whole cannot be read, or a batch that has no stamp to be known again by.
    """
    config = canonical_columns(config) if source.canonical else config
    stamp = source.stamp(project.root)
    if stamp is None:
        return ingest(config, project, source)
    seen, now = project.work / "source.txt", f"{config.digest} {stamp.digest}"
    unchanged = seen.exists() and seen.read_text(encoding="utf-8") == now
    if not stamp.digest or unchanged or not stamp.rested(settle, time.time()):
        return []
    made = _ingest_readable(config, project, source)
    write_text(seen, now)
    return made


def assign_splits(ids: np.ndarray, shares: SplitShares) -> np.ndarray:
    """Return for each hashed id the place of its split in `SPLITS`: the same on every machine, for ever."""
    place = ids / 2.0**64
    train, validation, test = range(len(SPLITS))
    held_out = np.where(place < shares.test, test, validation)
    return np.where(place < shares.test + shares.validation, held_out, train).astype(np.int8)


def _ingest_readable(config: Config, project: ProjectFolder, source: Source) -> list[Experience]:
    """Return what the batches became that can be read; the others are refused."""
    before = {one.key: one for one in read_rejected(project)}
    now: list[RejectedBatch] = []
    made: list[Experience] = []
    with _reading(config, project) as experiences_of:
        for batch in source.batches(project.root, chunk_rows=config.data.chunk_rows):
            key = f"{config.digest} {batch.stamp}"
            if batch.stamp and key in before:
                now.append(before[key])
                continue
            try:
                made += experiences_of(batch)
            except SourceError as error:
                if not batch.stamp:
                    raise
                log.warning("left out until it changes: %s", error)
                now.append(RejectedBatch(key=key, origin=batch.origin, why=str(error)))
    write_rejected(project, now)
    return made


@contextmanager
def _reading(
    config: Config, project: ProjectFolder, told: Callable[[int], None] = lambda rows: None
) -> Iterator[Callable[[Batch], list[Experience]]]:
    """Give what makes experiences of a batch; what an interrupted or refused one has left is swept away."""
    task: Task = plugins.build(Task, config.task)
    remove_drafts(project)
    known = load_known(project)
    try:
        yield lambda batch: _ingest_batch(batch, config, project, task, known, told)
    finally:
        remove_drafts(project)


def _ingest_batch(
    batch: Batch, config: Config, project: ProjectFolder, task: Task, known: KnownRows, told: Callable[[int], None]
) -> list[Experience]:
    outcomes = {one.name: _settle(one, batch, project, known) for one in _stage(batch, config, project, task, told)}
    made = [one.experience for one in outcomes.values() if one.experience]
    seen = sum(one.seen for one in outcomes.values())
    reasons = sum((one.reasons for one in outcomes.values()), Counter[str]())
    if not made and not seen and reasons:
        raise SourceError(f"{batch.origin}: no good row among {reasons.total()}: {count_reasons(reasons)}")
    if not made:
        log.info("%s: nothing new (%d rows seen before, %d set aside)", batch.origin, seen, reasons.total())
    for name, one in outcomes.items():
        if not one.experience and not one.seen:
            log.warning("%s: '%s' has no good row; not kept: %s", batch.origin, name, count_reasons(one.reasons))
    return made


def _stage(
    batch: Batch, config: Config, project: ProjectFolder, task: Task, told: Callable[[int], None]
) -> list[Staged]:
    """Check all rows and put them, group by group, on this machine's disk.

    Groups come in order of appearance, periods in order of time.
    """
    groups: dict[str, Staged] = {}
    read = 0
    current = None
    try:
        for chunk in batch.chunks:
            chunk = chunk.reset_index(drop=True)
            if read == 0:
                refuse_numeric_labels(chunk, config, task, origin=batch.origin)
            checked = check_rows(chunk, config, task, origin=batch.origin)
            names = _group_names(chunk, config, current or batch.name)
            current = names.iloc[-1]
            for name in names.unique():
                if name not in groups:
                    groups[name] = _new_group(name, len(groups), batch, config, project)
                _add(groups[name], chunk, checked.good[names[checked.good.index] == name], config)
                groups[name].set_aside(checked.bad[names[checked.bad.index] == name])
            read += len(chunk)
            told(read)
    finally:
        for one in groups.values():
            one.close()
    return [groups[name] for name in (sorted(groups) if config.data.period else groups)]


def _group_names(chunk: pd.DataFrame, config: Config, before: str) -> pd.Series:
    """Return whose each row is; a row that does not say belongs where its neighbour before does."""
    column = config.data.date if config.data.period else config.data.group_by
    if column is None or column not in chunk:
        return pd.Series(before, index=chunk.index, dtype=object)
    found = as_text(chunk[column])
    told = (
        split_into_periods(found, config.data.period) if config.data.period else [to_readable(name) for name in found]
    )
    names = pd.Series(told, index=chunk.index, dtype=object)
    return names.ffill().bfill().fillna(before)


def _new_group(name: str, number: int, batch: Batch, config: Config, project: ProjectFolder) -> Staged:
    if number >= MAX_GROUPS:
        data = config.data
        what = (
            f"'{data.date}' has more than {MAX_GROUPS} {data.period}s"
            if data.period
            else (f"'{data.group_by}' has more than {MAX_GROUPS} values")
        )
        remedy = "set data.period to a longer one" if data.period else "set data.group_by to a column with fewer"
        raise SourceError(f"{batch.origin}: column {what}, and each would become an experience; {remedy}")
    return Staged(name, staging_folder(project) / str(number))


def _add(staged: Staged, chunk: pd.DataFrame, rows: pd.DataFrame, config: Config) -> None:
    if rows.empty:
        return
    prints = fingerprints(rows)
    raw = chunk.loc[rows.index]
    column = split_column(chunk, config)
    if column is None:
        splits = assign_splits(prints.ids, config.data.split)
    else:
        names = split_names(raw[column])
        splits = np.array([SPLITS.index(name) for name in names if name], dtype=np.int8)
    staged.add(rows, raw_rows(raw), prints, splits)


def _settle(staged: Staged, batch: Batch, project: ProjectFolder, known: KnownRows) -> _Outcome:
    """Decide every row's fate and publish those that are kept, if there are any."""
    prints = staged.fingerprints()
    fate = deduplicate(prints, known)
    count = {one: int((fate == one).sum()) for one in RowOutcome}
    if not count[RowOutcome.KEPT]:
        across = Counter({reason: count[RowOutcome(number)] for number, reason in REASONS.items()})
        return _Outcome(None, count[RowOutcome.SEEN], staged.reasons + across)
    counts = {"duplicates": count[RowOutcome.REPEATED], "seen": count[RowOutcome.SEEN]}
    experience = publish(project, staged, fate, REASONS, origin=batch.origin, counts=counts)
    kept = fate == RowOutcome.KEPT
    remember_fingerprints(project, experience, known, ids=prints.ids[kept], contents=prints.contents[kept])
    log.info("%s: %d rows from %s", experience.id, experience.total, batch.origin)
    return _Outcome(experience, count[RowOutcome.SEEN], Counter(experience.quarantined))
