"""Follow the tagger of a pipeline: load each version that its registry names before it finds spans."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from cl.config import Config
from cl.errors import PerennialError
from cl.models.pairs import PairFinder, SpanPair
from cl.registry.tagger import fetch_tagger, resolve_tagger
from cl.serving.batching.batcher import NotReadyError
from cl.serving.registry_watcher import FIRST_RETRY, LAST_RETRY
from cl.serving.served_model import ServedModel, load_served_model
from cl.stores.stores import Stores

log = logging.getLogger(__name__)
SENTENCES = 32
"""Sentences that are tagged at a time."""


class TaggerFollower:
    """Holds the tagger that finds the spans of bare texts, and replaces it when its registry names another version.

    A version that cannot be loaded is tried again later; the one before keeps finding spans. Spans are found in a
    thread of their own, which leaves the event loop free.
    """

    def __init__(self, config: Config, stores: Stores) -> None:
        self._config, self._stores = config, stores
        self._finder: PairFinder | None = None
        self._problem = "no tagger is loaded yet"
        self._failed, self._wait, self._again_at = "", 0.0, 0.0
        self._polls = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "tagger")

    def poll(self) -> None:
        """Load the version that the registry names now, if it is another one."""
        with self._polls:
            named = ""
            try:
                named = resolve_tagger(self._config, self._stores) or ""
                if self._finder is not None and self._finder.tagger == named:
                    return
                if named == self._failed and time.monotonic() < self._again_at:
                    return
                self._finder = self._load()
                self._failed, self._wait = "", 0.0
                log.info("%s finds the spans now", self._finder.tagger)
            except Exception as error:  # whatever is wrong with the tagger, the champion keeps answering
                self._record_failure(named, error)

    async def pairs(self, texts: Sequence[str]) -> tuple[str, list[list[SpanPair]]]:
        """Return the version that finds the spans, and the pairs of spans in each text.

        Raises:
            NotReadyError: no tagger is loaded; the message says why.
        """
        finder = self._finder
        if finder is None:
            raise NotReadyError(self._problem)
        return finder.tagger, await asyncio.get_running_loop().run_in_executor(self._thread, finder.pairs, texts)

    def close(self) -> None:
        """Stop the thread after what it computes."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _load(self) -> PairFinder:
        tagger = fetch_tagger(self._config, self._stores)
        assert tagger is not None
        loaded = load_served_model(tagger.version, tagger.folder, self._config.serve.precision)
        return PairFinder(tagger.name, partial(_tag, loaded), self._config.pipeline)

    def _record_failure(self, named: str, error: Exception) -> None:
        why = str(error) if isinstance(error, PerennialError) else f"{type(error).__name__}: {error}"
        if named != self._failed or why != self._problem:
            meanwhile = f"{self._finder.tagger} keeps finding spans" if self._finder else "bare texts are refused"
            log.error("%s; %s", why, meanwhile)
        self._wait = min(2 * self._wait, LAST_RETRY) if named == self._failed and self._wait else FIRST_RETRY
        self._failed, self._problem, self._again_at = named, why, time.monotonic() + self._wait


def _tag(loaded: ServedModel, sentences: list[list[str]]) -> list[list[str]]:
    """Return the tags of sentences."""
    tags = list[list[str]]()
    for start in range(0, len(sentences), SENTENCES):
        part = sentences[start : start + SENTENCES]
        tags += [list(answer.value) for answer in loaded.answer(part, loaded.encode(part))]
    return tags
