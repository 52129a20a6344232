"""Ingest new rows: check them, compare them with the whole stream, split them, and write them once as experiences."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cl import plugins
from cl.config import Config, SplitShares
from cl.errors import PerennialError, SourceError
from cl.ingestion.apply_corrections import replacing_earlier
from cl.ingestion.check_rows import (
    MAX_NAME_CHARS,
    canonical_columns,
    check_rows,
    count_reasons,
    has_ids,
    raw_rows,
    refuse_numeric_labels,
    split_column,
    split_names,
)
from cl.ingestion.choose_rows import prepare_chunks
from cl.ingestion.class_support import support_classes
from cl.ingestion.deduplicate import (
    CORRECTABLE,
    NONE,
    REASONS,
    SKIPPED,
    WITHIN_BATCH,
    RowOutcome,
    count_leaks,
    deduplicate,
)
from cl.ingestion.internal_columns import SPLIT
from cl.ingestion.label_variants import BatchLabels
from cl.ingestion.long_rows import LongRows, long_rows
from cl.ingestion.periods import as_iso, split_into_periods
from cl.ingestion.seen_texts import LeftOut, SeenText, find_seen_texts
from cl.ingestion.sources import InputBatch, Source
from cl.ingestion.values import as_text, describe_error, one_line, to_readable
from cl.process.progress import Meter, meter, shows_amounts, stage
from cl.records import SPLITS, Experience
from cl.stores.data.corrections import finish_correction, replaced_rows
from cl.stores.data.experiences import Experiences
from cl.stores.data.fingerprints import KnownRows, fingerprints, load_known, remember_fingerprints
from cl.stores.data.label_changes import read_label_changes
from cl.stores.data.publish import publish, remove_drafts
from cl.stores.data.rejected_batches import RejectedBatch, read_rejected, write_rejected
from cl.stores.data.staging import Staged, staging_folder
from cl.stores.files import write_text
from cl.stores.project_folder import ProjectFolder
from cl.tasks import Task

log = logging.getLogger(__name__)
MAX_GROUPS = 300
WHY_CHARS = 1_000


@dataclass(frozen=True)
class _Outcome:
    """Result of publishing one staged experience; ``skipped``: rows that were left out without being set aside."""

    experience: Experience | None
    skipped: Counter[str]
    reasons: Counter[str]
    seen: list[SeenText]


def ingest(
    config: Config,
    project: ProjectFolder,
    source: Source,
    *,
    skipped: LeftOut | None = None,
    later: bool = False,
) -> list[Experience]:
    """Ingest a source's new rows and return their experiences; none if every row was seen before.

    Broken rows go to data/quarantine. If the process is killed at any moment and repeated with the same input, it ends
    in the same state as an undisturbed run.

    Args:
        config: the columns, the limits and the split.
        project: where the experiences go; the caller holds its lock.
        source: where the rows come from.
        skipped: rows that are left out without being set aside are counted here, by why, and some are named.
        later: a person gives these rows now: they may say again what a correction has replaced.

    Raises:
        SourceError: an input cannot be read or has no good row; that input has changed nothing.
    """
    config = canonical_columns(config) if source.canonical else config
    source = source.correcting(taken=config.data.corrections == "take")
    source.check(project.root)
    experiences: list[Experience] = []
    with _batch_ingester(config, project, skipped) as ingest_batch:
        for batch in source.batches(project.root, chunk_rows=config.data.chunk_rows):
            experiences += ingest_batch(replace(batch, is_later=batch.is_later or later))
    return experiences


def ingest_settled(config: Config, project: ProjectFolder, source: Source, *, settle: float) -> list[Experience]:
    """Ingest unattended: only if the source has changed since the last run and is no longer being written.

    An unreadable batch must not block the others, whatever is wrong with it: it is skipped, recorded
    (`cl.stores.data.rejected_batches`), and retried once the batch or the configuration has changed.

    Args:
        config: the columns, the limits and the split.
        project: where the experiences go; the caller holds its lock.
        source: where the rows come from; a source without a stamp is read every time.
        settle: seconds for which the newest file must have been unchanged.

    Raises:
        SourceError: the source as a whole, or a batch without a stamp, cannot be read.
    """
    config = canonical_columns(config) if source.canonical else config
    stamp = source.stamp(project.root)
    if stamp is None:
        return ingest(config, project, source)
    stamp_file, current = project.work / "source.txt", f"{config.digest} {stamp.digest}"
    unchanged = stamp_file.exists() and stamp_file.read_text(encoding="utf-8") == current
    if not stamp.digest or unchanged or not stamp.rested(settle, time.time()):
        return []
    source = source.correcting(taken=config.data.corrections == "take")
    experiences = _ingest_readable(config, project, source)
    write_text(stamp_file, current)
    return experiences


def assign_splits(groups: np.ndarray, shares: SplitShares) -> np.ndarray:
    """Return for each hash of a text's normal form the index of its split in `SPLITS`: the same on every machine."""
    fraction = groups / 2.0**64
    train, validation, test = range(len(SPLITS))
    held_out = np.where(fraction < shares.test, test, validation)
    return np.where(fraction < shares.test + shares.validation, held_out, train).astype(np.int8)


def _ingest_readable(config: Config, project: ProjectFolder, source: Source) -> list[Experience]:
    """Ingest the readable batches and return their experiences; record the others as rejected."""
    known_rejected = {rejected.key: rejected for rejected in read_rejected(project)}
    still_rejected: list[RejectedBatch] = []
    experiences: list[Experience] = []
    with _batch_ingester(config, project) as ingest_batch:
        for batch in source.batches(project.root, chunk_rows=config.data.chunk_rows):
            key = f"{config.digest} {batch.stamp}"
            if batch.stamp and key in known_rejected:
                still_rejected.append(known_rejected[key])
                continue
            try:
                experiences += ingest_batch(batch)
            except SourceError as error:
                if not batch.stamp:
                    raise
                log.warning("skipped until it changes: %s", error)
                still_rejected.append(RejectedBatch(key=key, origin=batch.origin, why=one_line(str(error), WHY_CHARS)))
    write_rejected(project, still_rejected)
    return experiences


@contextmanager
def _batch_ingester(
    config: Config,
    project: ProjectFolder,
    skipped: LeftOut | None = None,
) -> Iterator[Callable[[InputBatch], list[Experience]]]:
    """Yield a function that ingests one batch; remove the drafts of interrupted and refused batches."""
    task: Task = plugins.build(Task, config.task)
    skipped = LeftOut() if skipped is None else skipped
    remove_drafts(project)
    finish_correction(project)
    known = load_known(project)
    labels = {label for experience in Experiences(project).all() for label in experience.labels}
    try:
        yield lambda batch: _ingest_batch(batch, config, project, task, known, labels, skipped)
    finally:
        remove_drafts(project)


def _ingest_batch(
    batch: InputBatch,
    config: Config,
    project: ProjectFolder,
    task: Task,
    known: KnownRows,
    known_labels: set[str],
    skipped: LeftOut,
) -> list[Experience]:
    labels, long = BatchLabels(known_labels), long_rows(config, task)
    with stage(f"read {batch.origin}"), meter(batch.expected_rows() if shows_amounts() else None, "rows") as rows:
        staged_groups = _stage(batch, config, project, task, labels, long, rows)
    for notice in labels.notices():
        log.warning("%s: %s", batch.origin, notice)
    joined = labels.joined()
    with stage("compare with earlier rows and write"), meter(len(staged_groups), "experiences") as written:
        outcomes = {}
        for staged in staged_groups:
            outcomes[staged.name] = _publish_new(staged, batch, config, project, known, joined)
            written.advance()
    experiences = [outcome.experience for outcome in outcomes.values() if outcome.experience]
    for notice in long.notices() if long and experiences else []:
        log.warning("%s: %s", batch.origin, notice)
    known_labels.update(label for experience in experiences for label in experience.labels)
    left_out = sum((outcome.skipped for outcome in outcomes.values()), Counter[str]())
    skipped.update(left_out)
    skipped.texts += [seen for outcome in outcomes.values() for seen in outcome.seen]
    reasons = sum((outcome.reasons for outcome in outcomes.values()), Counter[str]())
    if not experiences and not left_out and reasons:
        raise SourceError(
            f"{batch.origin}: no good row among {reasons.total()}: {count_reasons(reasons)}{_remedy(reasons, batch)}"
        )
    if not experiences and reasons and not _set_aside_before(batch, reasons, project):
        # without an experience, there is no quarantine that could hold them
        counts = f"{count_reasons(left_out)}; {reasons.total()} broken ones are not kept"
        log.warning("%s: nothing new: %s: %s%s", batch.origin, counts, count_reasons(reasons), _remedy(reasons, batch))
    elif not experiences:
        log.info("%s: nothing new (%s)", batch.origin, count_reasons(left_out))
    elif remedy := _remedy(reasons, batch):
        log.warning("%s: %s%s", batch.origin, count_reasons(reasons), remedy)
    for name, outcome in outcomes.items():
        if not outcome.experience and not outcome.skipped:
            log.warning("%s: '%s' has no good row; not kept: %s", batch.origin, name, count_reasons(outcome.reasons))
    return experiences


def _set_aside_before(batch: InputBatch, reasons: Counter[str], project: ProjectFolder) -> bool:
    """Return whether an input is read again whose broken rows are in quarantine since it was first read.

    Rows that contradicted others of the input then, contradict those that were kept now.
    """
    records = [experience.quarantined for experience in Experiences(project).all() if experience.source == batch.origin]
    past = sum(map(Counter, records), Counter[str]())
    more = reasons - past
    return more.keys() <= CORRECTABLE and more.total() <= sum(past[reason] for reason in WITHIN_BATCH)


def _remedy(reasons: Counter[str], batch: InputBatch) -> str:
    return f"; if they correct the earlier rows: {batch.correct_with}" if CORRECTABLE & reasons.keys() else ""


def _stage(
    batch: InputBatch,
    config: Config,
    project: ProjectFolder,
    task: Task,
    labels: BatchLabels,
    long: LongRows | None,
    rows: Meter,
) -> list[Staged]:
    """Check all rows and stage them on the local disk, one folder per group.

    Groups are returned in order of appearance, periods in chronological order.
    """
    groups: dict[str, Staged] = {}
    changed = read_label_changes(project)
    last_name = None
    try:
        for chunk in prepare_chunks(batch.origin, _chunks(batch), config, task):
            with _refusing(batch.origin, except_for=OSError):  # rows are written: a full disk is no fault of theirs
                if rows.done == 0:
                    refuse_numeric_labels(chunk, config, task, origin=batch.origin)
                checked = check_rows(
                    chunk, config, task, origin=batch.origin, spellings=labels.spellings, changed=changed
                )
                labels.add(checked)
                if long:
                    long.add(checked.good)
                names = _group_names(chunk, config, last_name or batch.name)
                last_name = names.iloc[-1]
                for name in names.unique():
                    if name not in groups:
                        groups[name] = _new_group(name, len(groups), batch, config, project)
                    _add_rows(groups[name], chunk, checked.good[names[checked.good.index] == name], config)
                    groups[name].set_aside(checked.bad[names[checked.bad.index] == name])
            rows.advance(len(chunk))
    finally:
        for staged in groups.values():
            staged.close()
    return [groups[name] for name in (sorted(groups) if config.data.period else groups)]


def _chunks(batch: InputBatch) -> Iterator[pd.DataFrame]:
    """Yield the chunks of a batch that have rows.

    Raises:
        SourceError: reading fails, for whatever reason.
    """
    chunks = iter(batch.chunks)
    while True:
        with _refusing(batch.origin):
            chunk = next(chunks, None)
        if chunk is None:
            return
        if len(chunk):
            yield chunk.reset_index(drop=True)


@contextmanager
def _refusing(origin: str, *, except_for: type[Exception] = PerennialError) -> Iterator[None]:
    """Turn an error of any type into one that names the batch, so that it can be left out and the others read."""
    try:
        yield
    except (PerennialError, except_for):
        raise
    except Exception as error:
        raise SourceError(f"{origin}: cannot be read: {describe_error(error)}") from error


def _group_names(chunk: pd.DataFrame, config: Config, default: str) -> pd.Series:
    """Return the group of each row; a row without one belongs to the group of the row before it."""
    column = config.data.date if config.data.period else config.data.group_by
    if column is None or column not in chunk:
        return pd.Series(default, index=chunk.index, dtype=object)
    values = as_text(chunk[column])
    if config.data.period:
        groups = split_into_periods(as_iso(chunk[column], config.data.date_format), config.data.period)
    else:
        groups = [value and to_readable(value[:MAX_NAME_CHARS]) for value in values]
    return pd.Series(groups, index=chunk.index, dtype=object).ffill().bfill().fillna(default)


def _new_group(name: str, number: int, batch: InputBatch, config: Config, project: ProjectFolder) -> Staged:
    if number >= MAX_GROUPS:
        data = config.data
        problem = (
            f"'{data.date}' has more than {MAX_GROUPS} {data.period}s"
            if data.period
            else (f"'{data.group_by}' has more than {MAX_GROUPS} values")
        )
        remedy = "set data.period to a longer one" if data.period else "set data.group_by to a column with fewer"
        raise SourceError(f"{batch.origin}: column {problem}, and each would become an experience; {remedy}")
    return Staged(name, staging_folder(project) / str(number))


def _add_rows(staged: Staged, chunk: pd.DataFrame, rows: pd.DataFrame, config: Config) -> None:
    if rows.empty:
        return
    raw = chunk.loc[rows.index]
    column = split_column(chunk, config)
    if column is None:
        prints = fingerprints(rows)
        staged.add(rows, raw_rows(raw), prints, assign_splits(prints.groups, config.data.split))
        return
    names = [name for name in split_names(raw[column]) if name]
    if column == SPLIT or not has_ids(chunk, config):  # ids may then be unique in their split alone
        rows = rows.assign(id=staged.held_out_ids(rows["id"], names))
    staged.given = True
    staged.add(rows, raw_rows(raw), fingerprints(rows), np.array([SPLITS.index(name) for name in names], np.int8))


def _publish_new(
    staged: Staged,
    batch: InputBatch,
    config: Config,
    project: ProjectFolder,
    known: KnownRows,
    joined: Collection[str],
) -> _Outcome:
    """Deduplicate the staged rows and publish those that are kept, if there are any."""
    prints, held_out = staged.fingerprints(), staged.given_held_out()
    several = staged.labelled(joined)
    compared = deduplicate(
        prints,
        known,
        held_out,
        take_corrections=config.data.corrections == "take",
        several=several,
        replaced=lambda: NONE if batch.is_later else replaced_rows(project),
    )
    skipped = +Counter({why: compared.count(outcome) for outcome, why in SKIPPED.items()})
    seen = find_seen_texts(staged, prints, compared.outcomes, known)
    if not compared.kept.any():
        reasons = Counter({reason: compared.count(RowOutcome(number)) for number, reason in REASONS.items()})
        return _Outcome(None, skipped, staged.reasons + reasons, seen)
    if not (staged.given or compared.corrections.any()):  # a corrected row stays in the split of the earlier one
        support_classes(staged, prints.groups, compared.kept)
    counts = {
        "duplicates": compared.count(RowOutcome.REPEATED),
        "seen": compared.count(RowOutcome.SEEN),
        "stayed_out": compared.count(RowOutcome.FORGOTTEN),
        "corrected": int(compared.corrections.sum()),
        "leaks": count_leaks(prints, known, compared.kept, held_out),
    }
    with replacing_earlier(project, staged, compared.corrections, known):
        experience = publish(project, staged, compared.outcomes, REASONS, origin=batch.origin, counts=counts)
    remember_fingerprints(project, experience, known, kept=prints.kept[:, compared.kept])
    log.info("%s: %d rows from %s", experience.id, experience.total, batch.origin)
    return _Outcome(experience, skipped, Counter(experience.quarantined), seen)
