"""Follow the registry's aliases, and load and warm up each version before it answers."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cl.errors import PerennialError
from cl.serving.batching.batcher import NotReadyError
from cl.serving.canary.stopping import StoppedCanaries
from cl.serving.memory import release_memory
from cl.serving.served_model import ServedModel
from cl.serving.traffic_split import Role, TrafficSplit
from cl.stores.mlflow.registry import SHARE, Registry

log = logging.getLogger(__name__)
FIRST_RETRY, LAST_RETRY = 15.0, 600.0
"""Seconds until a failed load is retried: doubled each time, and reset when the version loses its role."""


@dataclass(frozen=True)
class FailedLoad:
    """A version that failed to load: how often, when it is retried (monotonic seconds), and why."""

    role: Role
    version: str
    times: int
    again_at: float
    why: str


class RegistryWatcher:
    """Follows the aliases champion, canary and shadow in its own thread; `roles` holds the loaded versions.

    ``load`` fetches, verifies, reads and warms up a version. ``on_failure`` is called on the first failure to load a
    version, and again only after it was loaded in between. ``on_poll`` is called after each poll. ``champion_of``
    returns the champion, given its alias: the ledger may name another one. ``explain`` returns what was changed in
    MLflow by hand; it is asked whenever the champion's alias has moved. ``on_evict`` is given each version that is no
    longer kept.
    """

    def __init__(
        self,
        registry: Registry,
        load: Callable[[str], ServedModel],
        given_up: StoppedCanaries,
        *,
        seconds: float,
        keep: int,
        on_failure: Callable[[FailedLoad, str | None], None],
        on_poll: Callable[[], None] = lambda: None,
        champion_of: Callable[[str | None], str | None] = lambda alias: alias,
        explain: Callable[[], Sequence[str]] = lambda: (),
        on_evict: Callable[[str], None] = lambda version: None,
    ) -> None:
        self.roles, self.swaps, self.failed = TrafficSplit(), 0, dict[str, FailedLoad]()
        self.reachable: bool | None = None  # until the first poll
        self._registry, self._load, self._given_up = registry, load, given_up
        self._seconds, self._keep, self._on_failure, self._on_poll = seconds, keep, on_failure, on_poll
        self._champion_of, self._explain, self._on_evict = champion_of, explain, on_evict
        self._alias: str | None = ""  # until the first poll
        self._memory: OrderedDict[str, ServedModel] = OrderedDict()
        self._stop, self._woken = threading.Event(), threading.Event()
        self.polled = threading.Event()
        """Set when the first poll has ended, whatever its result."""
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._initialised = False

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop polling, without waiting for a load in progress."""
        self._stop.set()
        self._woken.set()

    def wake(self) -> None:
        """Poll now instead of at the next interval."""
        self._woken.set()

    def poll(self) -> None:
        """Poll the aliases and load new versions.

        Raises:
            PerennialError: the registry does not answer.
        """
        if not self._initialised:
            self._registry.initialise()
            self._initialised = True
        aliases = self._registry.aliases()
        alias = aliases.pop("champion", None)
        if (named := self._champion_of(alias)) is not None:
            aliases["champion"] = named
        for version in [version for version in self.failed if version not in aliases.values()]:
            del self.failed[version]
        self._explain_change(alias)
        champion = self._get_or_load("champion", named) or self.roles.champion
        if champion is not self.roles.champion:
            log.info("version %s is the champion now", champion.version if champion else "none")
            self.swaps += 1
            # in the same step, a promoted challenger stops being a challenger
            self.roles = replace(self._without_challenger(champion), champion=champion)
        self._given_up.keep(aliases.get("canary"))
        canary, canary_share = self._find_challenger("canary", aliases)
        shadow, shadow_share = self._find_challenger("shadow", aliases)
        attempt = self._given_up.attempt(canary.version) if canary else 1
        self.roles = TrafficSplit(champion, canary, canary_share, attempt, shadow, shadow_share)
        self._evict_idle()

    def _explain_change(self, version: str | None) -> None:
        """Log what was changed in MLflow by hand, whenever the alias of the champion points elsewhere."""
        if version == self._alias:
            return
        for line in self._explain():
            log.warning("%s", line)
        self._alias = version

    def _find_challenger(self, role: Role, aliases: dict[str, str]) -> tuple[ServedModel | None, float]:
        version = aliases.get(role)
        if version is None or version == aliases.get("champion"):
            return None, 0.0
        if role == "canary" and version in self._given_up:
            return None, 0.0
        share = share_of_tags(self._registry.tags(version).get(SHARE))
        return (self._get_or_load(role, version), share) if share else (None, 0.0)

    def _without_challenger(self, champion: ServedModel | None) -> TrafficSplit:
        roles = self.roles
        return replace(
            roles,
            canary=None if roles.canary is champion else roles.canary,
            shadow=None if roles.shadow is champion else roles.shadow,
        )

    def _get_or_load(self, role: Role, version: str | None) -> ServedModel | None:
        """Return a version from memory or load it; None if it cannot be loaded now."""
        if version is None:
            return None
        if version in self._memory:
            self._memory.move_to_end(version)
            return self._memory[version]
        failure = self.failed.get(version)
        if failure is not None and time.monotonic() < failure.again_at:
            return None
        try:
            loaded = self._load(version)
        except Exception as error:  # whatever is wrong with one version, the others keep answering
            self._record_failure(role, version, error)
            return None
        self.failed.pop(version, None)
        self._memory[version] = loaded
        return loaded

    def _record_failure(self, role: Role, version: str, error: Exception) -> None:
        times = self.failed[version].times + 1 if version in self.failed else 1
        # what the version needs may come at any time, and asking costs little
        wait = 0.0 if isinstance(error, NotReadyError) else min(FIRST_RETRY * 2 ** (times - 1), LAST_RETRY)
        why = str(error) if isinstance(error, PerennialError) else f"{type(error).__name__}: {error}"
        failure = FailedLoad(role, version, times, time.monotonic() + wait, why)
        serving = self.roles.champion.version if self.roles.champion else None
        meanwhile = f"version {serving} keeps answering" if serving else "no version answers"
        if version not in self.failed or self.failed[version].why != why:
            log.error("version %s (%s) cannot be loaded: %s; %s", version, role, why, meanwhile)
        log.debug("traceback of the failed load", exc_info=error)
        self.failed[version] = failure
        if times == 1:
            self._on_failure(failure, serving)

    def _evict_idle(self) -> None:
        """Evict versions without a role from memory, except the ``keep`` most recently used."""
        roles = self.roles
        in_use = {model.version for model in (roles.champion, roles.canary, roles.shadow) if model}
        idle = [version for version in self._memory if version not in in_use]
        evicted = idle[: max(0, len(idle) - self._keep)]
        for version in evicted:
            del self._memory[version]
            self._on_evict(version)
        if evicted:
            release_memory()

    def _run(self) -> None:
        last_error = ""
        while not self._stop.is_set():
            try:
                self.poll()
                self.reachable, last_error = True, ""
            except Exception as error:  # the registry may answer at the next poll
                if str(error) != last_error:
                    log.error("the registry cannot be polled: %s", error)
                self.reachable, last_error = False, str(error)
            self.polled.set()
            self._on_poll()
            self._woken.wait(self._seconds)
            self._woken.clear()


def share_of_tags(tag: str | None) -> float:
    """Return the traffic share (0 to 1) of a version's tag; 0 if the tag is missing or invalid."""
    try:
        share = float(tag or 0)
    except ValueError:
        return 0.0
    return share if 0 <= share <= 1 else 0.0
