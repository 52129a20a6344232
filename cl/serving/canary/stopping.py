"""Decide when to stop a canary: errors, latency, or labels that show with confidence that it is worse."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cl.config.serving import CanaryBounds
from cl.serving.canary.comparison import Comparison
from cl.stores.files import write_text


def stop_reason(comparison: Comparison, bounds: CanaryBounds) -> str | None:
    """Return why a canary should be stopped, or None to continue."""
    own, champion = comparison.own, comparison.champion_side
    if own.rows >= bounds.min_requests and own.errors > bounds.max_errors * own.rows:
        return f"{own.errors} of {own.rows} rows failed (at most {bounds.max_errors:.1%})"
    if min(own.requests, champion.requests) >= bounds.min_requests:
        own_p95, champion_p95 = own.quantile(0.95), champion.quantile(0.95)
        if own_p95 and champion_p95 and own_p95 > bounds.max_slowdown * champion_p95:
            limit = f"at most {bounds.max_slowdown:g} times"
            return f"95th percentile {own_p95:g} ms, the champion's {champion_p95:g} ms ({limit})"
    evidence = evidence_of_worse(won=comparison.won, lost=comparison.lost)
    if evidence >= 1 / bounds.alpha:
        return (
            f"labels show that it is worse: of the rows that only one version got right it won {comparison.won} "
            f"and lost {comparison.lost} (evidence {evidence:.3g}, bound {1 / bounds.alpha:.3g})"
        )
    return None


def evidence_of_worse(*, won: int, lost: int) -> float:
    """Return the evidence (an e-value) that a challenger is worse than the champion on rows that both answered.

    Only rows that exactly one of them got right are informative (McNemar, 1947): a challenger that is no worse loses
    each of them with probability at most 1/2. The evidence is the likelihood of the data with a loss probability drawn
    uniformly from [1/2, 1], divided by that with 1/2 (Robbins, 1970, section 3, mixtures). Under the null hypothesis it
    is a nonnegative supermartingale, so by Ville's inequality (1939) it ever reaches 1/alpha with probability at most
    alpha, however often it is checked as labels arrive (Ramdas et al., 2023, "Game-theoretic statistics and safe
    anytime-valid inference").
    """
    from scipy.special import betaincc, betaln

    decided, upper = won + lost, betaincc(lost + 1, won + 1, 0.5)
    if not decided or upper <= 0:
        return 1.0 if not decided else 0.0
    log_evidence = (decided + 1) * math.log(2) + betaln(lost + 1, won + 1) + math.log(upper)
    return math.exp(min(log_evidence, 700.0))


@dataclass(frozen=True)
class StoppedCanaries:
    """The stopped canaries: a file in the project's .cl/serving/ that all workers read whenever they poll the registry.

    A version whose alias was removed and set again is tried again; earlier counts no longer apply.
    """

    folder: Path

    @property
    def _file(self) -> Path:
        return self.folder / "given_up.json"

    def __contains__(self, version: str) -> bool:
        """Return whether a version was stopped as a canary."""
        return version in self.reasons()

    def reasons(self) -> dict[str, dict[str, str]]:
        """Return the time (``stopped_at``) and reason (``why``) of each stopped version."""
        return self._read()["reasons"]

    def attempt(self, version: str) -> int:
        """Return how many times a version has been tried as a canary, including the current attempt."""
        result: int = self._read()["attempts"].get(version, 1)
        return result

    def add(self, version: str, why: str) -> bool:
        """Stop a version; return False if it was stopped already."""
        state = self._read()
        if version in state["reasons"]:
            return False
        state["reasons"][version] = {"stopped_at": datetime.now(UTC).isoformat(timespec="seconds"), "why": why}
        self._write(state)
        return True

    def keep(self, canary: str | None) -> None:
        """Forget all versions but the current canary: once its alias has moved, a version may be tried again."""
        state = self._read()
        withdrawn = set(state["reasons"]) - {canary}
        for version in withdrawn:
            del state["reasons"][version]
            state["attempts"][version] = state["attempts"].get(version, 1) + 1
        if withdrawn:
            self._write(state)

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            result: dict[str, dict[str, Any]] = json.loads(self._file.read_text(encoding="utf-8"))
            return result
        except FileNotFoundError:
            return {"reasons": {}, "attempts": {}}

    def _write(self, state: dict[str, dict[str, Any]]) -> None:
        write_text(self._file, json.dumps(state, indent=1))
