"""The server's eye on the registry: which versions have a role now, loaded and warm before they answer."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from cl.errors import PerennialError
from cl.serving.canary.stopping import StoppedCanaries
from cl.serving.served_model import ServedModel, release_memory
from cl.serving.traffic_split import Role, TrafficSplit
from cl.stores.mlflow.registry import SHARE, Registry

log = logging.getLogger(__name__)
FIRST_RETRY, LAST_RETRY = 15.0, 600.0
"""Seconds until a version that could not be loaded is tried again: doubled each time, unless its role moves."""


@dataclass(frozen=True)
class FailedLoad:
    """A version that could not be loaded: how often, when it is tried again (monotonic seconds), and why."""

    role: Role
    version: str
    times: int
    again_at: float
    why: str


class RegistryWatcher:
    """Follows the aliases champion, canary and shadow in a thread of its own; `roles` is what it has reached.

    ``load`` brings, checks, reads and warms a version; ``on_failure`` is told when a version cannot be loaded, once
    until it can; ``on_look`` is called after each look.
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
        on_look: Callable[[], None] = lambda: None,
    ) -> None:
        self.roles, self.swaps, self.failed = TrafficSplit(), 0, dict[str, FailedLoad]()
        self.reachable: bool | None = None  # until the first look
        self._registry, self._load, self._given_up = registry, load, given_up
        self._seconds, self._keep, self._on_failure, self._on_look = seconds, keep, on_failure, on_look
        self._memory: OrderedDict[str, ServedModel] = OrderedDict()
        self._stop, self._woken = threading.Event(), threading.Event()
        self.looked = threading.Event()
        """Set when the first look has ended, whatever it has found."""
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._initialised = False

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Follow no longer; a load under way is not waited for."""
        self._stop.set()
        self._woken.set()

    def wake(self) -> None:
        """Look now, and not when it is time for it."""
        self._woken.set()

    def look(self) -> None:
        """Compare the aliases with what is loaded, and load what is new.

        Raises:
            PerennialError: the registry does not answer.
        """
        if not self._initialised:
            self._registry.initialise()
            self._initialised = True
        aliases = self._registry.aliases()
        for gone in [version for version in self.failed if version not in aliases.values()]:
            del self.failed[gone]
        champion = self._loaded("champion", aliases.get("champion")) or self.roles.champion
        if champion is not self.roles.champion:
            log.warning("version %s answers now", champion.version if champion else "none")
            self.swaps += 1
            # a challenger that has become the champion is one no longer, in the same moment
            self.roles = replace(self._without(champion), champion=champion)
        self._given_up.keep(aliases.get("canary"))
        canary, canary_share = self._challenger("canary", aliases)
        shadow, shadow_share = self._challenger("shadow", aliases)
        attempt = self._given_up.attempt(canary.version) if canary else 1
        self.roles = TrafficSplit(champion, canary, canary_share, attempt, shadow, shadow_share)
        self._forget()

    def _challenger(self, role: Role, aliases: dict[str, str]) -> tuple[ServedModel | None, float]:
        version = aliases.get(role)
        if version is None or version == aliases.get("champion"):
            return None, 0.0
        if role == "canary" and version in self._given_up:
            return None, 0.0
        share = share_of_tags(self._registry.tags(version).get(SHARE))
        return (self._loaded(role, version), share) if share else (None, 0.0)

    def _without(self, champion: ServedModel | None) -> TrafficSplit:
        roles = self.roles
        return replace(
            roles,
            canary=None if roles.canary is champion else roles.canary,
            shadow=None if roles.shadow is champion else roles.shadow,
        )

    def _loaded(self, role: Role, version: str | None) -> ServedModel | None:
        """Return a version from memory or load it; None where it cannot be loaded (now)."""
        if version is None:
            return None
        if version in self._memory:
            self._memory.move_to_end(version)
            return self._memory[version]
        known = self.failed.get(version)
        if known is not None and time.monotonic() < known.again_at:
            return None
        try:
            loaded = self._load(version)
        except Exception as error:  # whatever is wrong with one version, the others go on answering
            self._failure(role, version, error)
            return None
        self.failed.pop(version, None)
        self._memory[version] = loaded
        return loaded

    def _failure(self, role: Role, version: str, error: Exception) -> None:
        times = self.failed[version].times + 1 if version in self.failed else 1
        wait = min(FIRST_RETRY * 2 ** (times - 1), LAST_RETRY)
        why = str(error) if isinstance(error, PerennialError) else f"{type(error).__name__}: {error}"
        failed = FailedLoad(role, version, times, time.monotonic() + wait, why)
        serving = self.roles.champion.version if self.roles.champion else None
        log.error("version %s (%s) cannot be loaded: %s; version %s goes on answering", version, role, why, serving)
        log.debug("the load that failed", exc_info=error)
        self.failed[version] = failed
        if times == 1:
            self._on_failure(failed, serving)

    def _forget(self) -> None:
        """Keep in memory what has a role, and of the others those that had one last."""
        roles = self.roles
        needed = {one.version for one in (roles.champion, roles.canary, roles.shadow) if one}
        idle = [version for version in self._memory if version not in needed]
        gone = idle[: max(0, len(idle) - self._keep)]
        for version in gone:
            del self._memory[version]
        if gone:
            release_memory()

    def _run(self) -> None:
        trouble = ""
        while not self._stop.is_set():
            try:
                self.look()
                self.reachable, trouble = True, ""
            except Exception as error:  # a registry that does not answer now may answer at the next look
                if str(error) != trouble:
                    log.error("the registry cannot be followed: %s", error)
                self.reachable, trouble = False, str(error)
            self.looked.set()
            self._on_look()
            self._woken.wait(self._seconds)
            self._woken.clear()


def share_of_tags(tag: str | None) -> float:
    """Return the share (0 to 1) that a version's tag gives it; a tag that is none is no share."""
    try:
        share = float(tag or 0)
    except ValueError:
        return 0.0
    return share if 0 <= share <= 1 else 0.0
