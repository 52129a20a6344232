"""What the server was asked and told is written ahead by one thread, so that no request ever waits for the disk.

Predictions wait in a queue with an end: where the disk cannot keep up, what finds no room is counted and not logged.
Feedback is acknowledged when it is on the disk and not before; what comes meanwhile shares one sync with it.
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
from cl.serving.pii import build_redactor
from cl.serving.served_model import release_memory
from cl.stores.predictions.compaction import FEEDBACK, PREDICTIONS, LogKind, compact, forget_compacted, open_folder
from cl.stores.predictions.write_ahead_log import Entry, WriteAheadLog
from cl.stores.project_folder import ProjectFolder

log = logging.getLogger(__name__)
LINGER = 0.05
"""Seconds for which predictions wait for company; a killed process loses what has waited no longer than that."""
SYNC = 1.0
"""Seconds after which predictions survive a loss of power; a killed process they survive at once."""
MOST_TOLD = 10_000
"""Feedback that may wait for the disk."""
UNREADABLE = "<REDACTED>"


@dataclass
class LogCounts:
    """What has become of predictions and feedback since the start."""

    logged: int = 0
    dropped: int = 0
    acknowledged: int = 0
    refused: int = 0


@dataclass(frozen=True)
class _Told:
    entry: Entry
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]


@dataclass
class PredictionLog:
    """The log of one server process; several may write at once, each into files of its own.

    At its start, what dead processes have left becomes Parquet.

    Raises:
        ConfigError: a redaction cannot be imported.
    """

    project: ProjectFolder
    settings: ServingLogSettings
    counts: LogCounts = field(default_factory=LogCounts)

    def __post_init__(self) -> None:
        self._redact = build_redactor(self.settings.redact)
        self._predictions: deque[Entry] = deque()
        self._told: deque[_Told] = deque()
        self._files: dict[str, WriteAheadLog] = {}
        self._wake = threading.Event()
        self._closing = False
        self._complained: set[str] = set()
        self._synced = time.monotonic()
        self._tidying = threading.Thread(target=self._tidy, name="log sealing", daemon=True)
        self._tidying.start()
        self._thread = threading.Thread(target=self._work, name="prediction log", daemon=True)
        self._thread.start()

    def record(self, entries: list[Entry]) -> None:
        """Take the entries of answered rows and return at once.

        Args:
            entries: each with id, at (seconds since 1970), version, role (champion, canary or shadow), text or
                tokens, label (a label, or a list of tags), confidence, out_of_scope, latency_ms and key, the request
                key, of which only a hash is kept; out_of_scope and key may be None.
        """
        if self._closing or len(self._predictions) + len(entries) > self.settings.queue:
            self.counts.dropped += len(entries)
        else:
            self._predictions.extend(entries)

    async def feedback(self, prediction_id: str, label: str | list[str]) -> None:
        """Return when the right label of a prediction is on the disk.

        Raises:
            StoreError: it is not, and may be told again.
        """
        if self._closing or len(self._told) >= MOST_TOLD:
            self.counts.refused += 1
            raise StoreError("feedback cannot be taken now; tell it again later")
        loop = asyncio.get_running_loop()
        answer = {"label": label} if isinstance(label, str) else {"tags": label}
        told = _Told({"id": prediction_id, **answer, "at": _written(time.time())}, loop, loop.create_future())
        self._told.append(told)
        self._wake.set()
        try:
            await asyncio.wait_for(told.done, self.settings.feedback_seconds)
        except TimeoutError:
            self.counts.refused += 1
            raise StoreError("the disk is too slow for feedback; tell it again later") from None

    @property
    def waiting(self) -> int:
        """Predictions that wait for the disk."""
        return len(self._predictions)

    def close(self) -> None:
        """Write what waits, and make Parquet of it all; what comes later is refused."""
        self._closing = True
        self._wake.set()
        self._thread.join()
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._tidying.join()
        self._tidy()

    def _work(self) -> None:
        while not (self._closing and not self._predictions and not self._told):
            self._wake.wait(LINGER)
            self._wake.clear()
            told = [self._told.popleft() for _ in range(len(self._told))]  # before the predictions that they belong to
            self._log([self._predictions.popleft() for _ in range(len(self._predictions))])
            if told:
                self._acknowledge(told)
            self._roll()

    def _log(self, entries: list[Entry]) -> None:
        """Write predictions; those that cannot be written are counted, and are not tried again."""
        rows = [row for row in map(self._row, entries) if row is not None]
        if rows and self._writes(PREDICTIONS, lambda file: file.append(rows)):
            self.counts.logged += len(rows)
            self.counts.dropped += len(entries) - len(rows)
        else:
            self.counts.dropped += len(entries)
        if PREDICTIONS.ending in self._files and time.monotonic() - self._synced > SYNC:
            self._synced = time.monotonic()
            self._writes(PREDICTIONS, WriteAheadLog.sync)

    def _acknowledge(self, told: list[_Told]) -> None:
        """Write feedback, wait for the disk once, and tell everybody whether it is there."""

        def durably(file: WriteAheadLog) -> None:
            file.append([one.entry for one in told])
            file.sync()

        error = None if self._writes(FEEDBACK, durably) else StoreError("feedback could not be written to the disk")
        self.counts.acknowledged += 0 if error else len(told)
        self.counts.refused += len(told) if error else 0
        for one in told:
            try:
                one.loop.call_soon_threadsafe(_settle, one.done, error)
            except RuntimeError:
                continue  # its server has stopped and waits no more

    def _writes(self, kind: LogKind, write: Callable[[WriteAheadLog], None]) -> bool:
        """Tell whether something could be written to a kind's file, which is made where there is none."""
        try:
            file = self._files.get(kind.ending)
            if file is None:
                file = self._files[kind.ending] = WriteAheadLog(open_folder(self.project), kind.ending)
            write(file)
        except OSError as error:
            if kind.ending not in self._complained:
                log.error("%s: cannot be written: %s", open_folder(self.project), error)
            self._complained.add(kind.ending)
            if kind.ending in self._files and self._files[kind.ending].broken:
                self._files.pop(kind.ending).close()
            return False
        self._complained.discard(kind.ending)
        return True

    def _roll(self) -> None:
        """Leave files that are large, or of another day, to be made Parquet of."""
        today = int(time.time() // 86_400)
        full = self.settings.roll_mb * 1e6
        old = [end for end, one in self._files.items() if one.size > full or int(one.created // 86_400) < today]
        for ending in old:
            self._files.pop(ending).close()
        if old and not self._tidying.is_alive():
            self._tidying = threading.Thread(target=self._tidy, name="log sealing", daemon=True)
            self._tidying.start()

    def _tidy(self) -> None:
        """Seal and forget; what fails is found again next time, and stops nothing."""
        try:
            if compact(self.project):
                release_memory()
            if self.settings.keep_days is not None:
                forget_compacted(self.project, days=self.settings.keep_days)
        except Exception as error:
            log.error("predictions/: could not be made Parquet of: %s: %s", type(error).__name__, error)

    def _row(self, entry: Entry) -> Entry | None:
        """Return an entry as the store keeps it, without personal data; None where a redaction fails."""
        try:
            label, at = entry["label"], _written(entry["at"])
            text, tokens, key = entry.get("text"), entry.get("tokens"), entry.get("key")
            return {
                "id": entry["id"],
                "text": None if text is None else self._redact(text),
                "tokens": None if tokens is None else [self._redact(one).strip() or UNREADABLE for one in tokens],
                "date": at,
                "prediction": label if isinstance(label, str) else " ".join(label),
                "confidence": entry["confidence"],
                "version": str(entry["version"]),
                "at": at,
                "role": entry["role"],
                "out_of_scope": entry.get("out_of_scope"),
                "latency_ms": entry.get("latency_ms"),
                "key": None
                if key is None
                else hashlib.blake2b(key.encode(errors="replace"), digest_size=8).hexdigest(),
            }
        except Exception as error:
            if "redact" not in self._complained:
                log.error("serve.log.redact failed, the row is not logged: %s", type(error).__name__)
            self._complained.add("redact")
            return None


def _hash(key: str) -> str:
    return hashlib.blake2b(key.encode(errors="replace"), digest_size=8).hexdigest()


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


def _settle(done: asyncio.Future[None], error: Any) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
