"""Log predictions and feedback to a write-ahead log in one thread, so that no request waits for the disk.

Predictions wait in a bounded queue: if the disk cannot keep up, predictions without room are counted but not logged.
Feedback is acknowledged only when it is on the disk; concurrent feedback shares one sync.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cl.config.serving import ServingLogSettings
from cl.errors import StoreError
from cl.serving.memory import release_memory
from cl.serving.pii import build_redactor, redact_inputs
from cl.stores.predictions.compaction import FEEDBACK, PREDICTIONS, LogKind, compact, delete_expired, open_folder
from cl.stores.predictions.logged_values import answer_entry, input_entry
from cl.stores.predictions.predictions import Predictions
from cl.stores.predictions.write_ahead_log import Entry, WriteAheadLog
from cl.stores.project_folder import ProjectFolder
from cl.tasks import Task, ValueKind

log = logging.getLogger(__name__)
LINGER = 0.05
"""Seconds for which predictions are buffered; a killed process loses at most these."""
SYNC = 1.0
"""Seconds until written predictions survive a power loss; they survive a killed process at once."""
MOST_TOLD = 10_000
"""Most feedback that may wait for the disk."""


LOOKS = 3
"""How often the log is read for an answer, with twice `LINGER` between."""


@dataclass(frozen=True)
class LoggedAnswer:
    """An answer in the log, without personal data, and the version that gave it."""

    value: Any
    version: str


@dataclass
class LogCounts:
    """Counts of predictions and feedback since the start."""

    logged: int = 0
    dropped: int = 0
    acknowledged: int = 0
    refused: int = 0


@dataclass(frozen=True)
class _PendingFeedback:
    entry: Entry
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]


@dataclass
class PredictionLog:
    """The log of one server process; several processes may write at once, each to its own files.

    At startup it compacts the files of dead processes to Parquet.

    Raises:
        ConfigError: a redaction cannot be imported.
    """

    project: ProjectFolder
    settings: ServingLogSettings
    task: Task
    counts: LogCounts = field(default_factory=LogCounts)

    def __post_init__(self) -> None:
        self._redact = build_redactor(self.settings.redact)
        self._predictions: deque[Entry] = deque()
        self._pending_feedback: deque[_PendingFeedback] = deque()
        self._files: dict[str, WriteAheadLog] = {}
        self._wake = threading.Event()
        self._closing = False
        self._reported: set[str] = set()
        self._synced = time.monotonic()
        self._compactor = threading.Thread(target=self._compact, name="log sealing", daemon=True)
        self._compactor.start()
        self._thread = threading.Thread(target=self._work, name="prediction log", daemon=True)
        self._thread.start()

    def record(self, entries: list[Entry]) -> None:
        """Queue the entries of answered rows and return at once.

        Args:
            entries: each with id, recorded_at (seconds since 1970), version, role (champion, canary or shadow), the
                inputs by their names, label (the answer), confidence, out_of_scope, latency_ms, key, the request key,
                of which only a hash is kept, and tagger, the version that found the spans; out_of_scope, key and
                tagger may be None.
        """
        if self._closing or len(self._predictions) + len(entries) > self.settings.queue:
            self.counts.dropped += len(entries)
        else:
            self._predictions.extend(entries)

    async def feedback(self, prediction_id: str, label: Any) -> None:
        """Store the true label of a prediction and return when it is on the disk.

        Raises:
            StoreError: it could not be stored; the client may send it again.
        """
        if self._closing or len(self._pending_feedback) >= MOST_TOLD:
            self.counts.refused += 1
            raise StoreError("feedback cannot be stored now; send it again later")
        loop = asyncio.get_running_loop()
        content = answer_entry(self._redact_answer(label), self.task.schema)
        pending = _PendingFeedback(
            {"id": prediction_id, **content, "recorded_at": _format_time(time.time())}, loop, loop.create_future()
        )
        self._pending_feedback.append(pending)
        self._wake.set()
        try:
            await asyncio.wait_for(pending.done, self.settings.feedback_seconds)
        except TimeoutError:
            self.counts.refused += 1
            raise StoreError("the disk is too slow for feedback; send it again later") from None

    async def logged(self, prediction_id: str) -> LoggedAnswer | None:
        """Return an answer as the log has it, of any worker; None: it has none by this id.

        Raises:
            StoreError: a file of the log is damaged.
        """
        for _ in range(LOOKS):
            rows = await asyncio.to_thread(Predictions(self.project).of, [prediction_id])
            for described, version in zip(rows["prediction"], rows["version"], strict=True):
                return LoggedAnswer(self.task.read_described(described), version)
            await asyncio.sleep(2 * LINGER)  # it may have been given just now
        return None

    @property
    def waiting(self) -> int:
        """Number of predictions that wait for the disk."""
        return len(self._predictions)

    def close(self) -> None:
        """Write what waits and compact all files to Parquet; later entries are rejected."""
        self._closing = True
        self._wake.set()
        self._thread.join()
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._compactor.join()
        self._compact()

    def _work(self) -> None:
        while not (self._closing and not self._predictions and not self._pending_feedback):
            self._wake.wait(LINGER)
            self._wake.clear()
            # taken before the predictions, so that those it belongs to are written first
            pending = [self._pending_feedback.popleft() for _ in range(len(self._pending_feedback))]
            self._write_predictions([self._predictions.popleft() for _ in range(len(self._predictions))])
            if pending:
                self._acknowledge(pending)
            self._rotate()

    def _write_predictions(self, entries: list[Entry]) -> None:
        """Write predictions; those that cannot be written are counted and not retried."""
        rows = [row for row in map(self._to_row, entries) if row is not None]
        if rows and self._try_write(PREDICTIONS, lambda file: file.append(rows)):
            self.counts.logged += len(rows)
            self.counts.dropped += len(entries) - len(rows)
        else:
            self.counts.dropped += len(entries)
        if PREDICTIONS.ending in self._files and time.monotonic() - self._synced > SYNC:
            self._synced = time.monotonic()
            self._try_write(PREDICTIONS, WriteAheadLog.sync)

    def _acknowledge(self, pending: list[_PendingFeedback]) -> None:
        """Write feedback, sync once, and report the result to all callers."""

        def append_durably(file: WriteAheadLog) -> None:
            file.append([item.entry for item in pending])
            file.sync()

        error = (
            None
            if self._try_write(FEEDBACK, append_durably)
            else StoreError("feedback could not be written to the disk")
        )
        self.counts.acknowledged += 0 if error else len(pending)
        self.counts.refused += len(pending) if error else 0
        for item in pending:
            try:
                item.loop.call_soon_threadsafe(_settle, item.done, error)
            except RuntimeError:
                continue  # its server has stopped and no longer waits

    def _try_write(self, kind: LogKind, write: Callable[[WriteAheadLog], None]) -> bool:
        """Write to the file of a kind, created if missing, and return whether it succeeded."""
        try:
            file = self._files.get(kind.ending)
            if file is None:
                file = self._files[kind.ending] = WriteAheadLog(open_folder(self.project), kind.ending)
            write(file)
        except OSError as error:
            if kind.ending not in self._reported:
                log.error("%s: cannot be written: %s", open_folder(self.project), error)
            self._reported.add(kind.ending)
            if kind.ending in self._files and self._files[kind.ending].broken:
                self._files.pop(kind.ending).close()
            return False
        self._reported.discard(kind.ending)
        return True

    def _rotate(self) -> None:
        """Close files that are full or of an earlier day, and compact them to Parquet."""
        today = int(time.time() // 86_400)
        size_limit = self.settings.roll_mb * 1e6
        finished = [
            ending
            for ending, file in self._files.items()
            if file.size > size_limit or int(file.created // 86_400) < today
        ]
        for ending in finished:
            self._files.pop(ending).close()
        if finished and not self._compactor.is_alive():
            self._compactor = threading.Thread(target=self._compact, name="log sealing", daemon=True)
            self._compactor.start()

    def _compact(self) -> None:
        """Compact files and delete expired ones; failures are retried next time."""
        try:
            if compact(self.project):
                release_memory()
            if self.settings.keep_days is not None:
                delete_expired(self.project, days=self.settings.keep_days)
        except Exception as error:
            log.error("predictions/: compaction to Parquet failed: %s: %s", type(error).__name__, error)

    def _to_row(self, entry: Entry) -> Entry | None:
        """Return an entry as the store keeps it, without personal data, or None if a redaction fails."""
        try:
            label, date = entry["label"], _format_time(entry["recorded_at"])
            inputs = redact_inputs(entry, self.task.schema, self._redact)
            key = entry.get("key")
            return {
                "id": entry["id"],
                **input_entry(inputs, self.task.schema),
                "date": date,
                "prediction": self.task.describe(self._redact_answer(label)),
                "confidence": entry["confidence"],
                "version": str(entry["version"]),
                "recorded_at": date,
                "role": entry["role"],
                "out_of_scope": entry.get("out_of_scope"),
                "latency_ms": entry.get("latency_ms"),
                "key": None if key is None else _hash(key),
                "tagger": entry.get("tagger"),
            }
        except Exception as error:
            if "redact" not in self._reported:
                log.error("serve.log.redact failed, the row is not logged: %s", type(error).__name__)
            self._reported.add("redact")
            return None

    def _redact_answer(self, answer: Any) -> Any:
        """Return an answer without personal data: names of classes hold none, texts may."""
        kind = self.task.schema.answer.kind
        if kind is ValueKind.TEXT:
            return self._redact(answer)
        return list(map(self._redact, answer)) if kind is ValueKind.TEXTS else answer


def _hash(key: str) -> str:
    return hashlib.blake2b(key.encode(errors="replace"), digest_size=8).hexdigest()


def _format_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


def _settle(done: asyncio.Future[None], error: Any) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
