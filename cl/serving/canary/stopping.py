"""When a canary is given up: its errors, its latency, or labels that say with confidence that it is worse."""

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


def stop_reason(seen: Comparison, bounds: CanaryBounds) -> str | None:
    """Return why a canary should be asked no longer; None while nothing speaks against it."""
    own, beside = seen.own, seen.beside
    if own.rows >= bounds.min_requests and own.errors > bounds.max_errors * own.rows:
        return f"{own.errors} of {own.rows} rows failed (at most {bounds.max_errors:.1%})"
    if min(own.requests, beside.requests) >= bounds.min_requests:
        slow, usual = own.quantile(0.95), beside.quantile(0.95)
        if slow and usual and slow > bounds.max_slowdown * usual:
            return f"95th percentile {slow:g} ms, the champion's {usual:g} ms (at most {bounds.max_slowdown:g} times)"
    evidence = evidence_of_worse(won=seen.won, lost=seen.lost)
    if evidence >= 1 / bounds.alpha:
        return (
            f"labels say it is worse: of the rows that only one of them had right it won {seen.won} and lost "
            f"{seen.lost} (evidence {evidence:.3g}, bound {1 / bounds.alpha:.3g})"
        )
    return None


def evidence_of_worse(*, won: int, lost: int) -> float:
    """Return the evidence (an e-value) that a challenger is worse than the champion on rows that both have answered.

    Only rows that exactly one of them had right tell them apart (McNemar, 1947): a challenger that is no worse loses
    each of them with probability 1/2 at most. The evidence is the likelihood of what was seen with a probability of
    loss drawn evenly from 1/2 to 1, over that with 1/2 (Robbins, 1970, section 3, mixtures). Under no harm it is a
    nonnegative supermartingale, so that by Ville's inequality (1939) it ever reaches 1/alpha with a chance of alpha
    at most, however often it is looked at while labels come in (Ramdas et al., 2023, "Game-theoretic statistics and
    safe anytime-valid inference").
    """
    from scipy.special import betaincc, betaln

    seen, upper = won + lost, betaincc(lost + 1, won + 1, 0.5)
    if not seen or upper <= 0:
        return 1.0 if not seen else 0.0
    log_evidence = (seen + 1) * math.log(2) + betaln(lost + 1, won + 1) + math.log(upper)
    return math.exp(min(log_evidence, 700.0))


@dataclass(frozen=True)
class StoppedCanaries:
    """A file in the project's .cl/serving/, which all workers read at every look.

    A version whose alias was taken away and given back is tried again: what was counted before counts no longer.
    """

    folder: Path

    @property
    def _file(self) -> Path:
        return self.folder / "given_up.json"

    def __contains__(self, version: str) -> bool:
        """Tell whether a version is no longer asked as a canary."""
        return version in self.reasons()

    def reasons(self) -> dict[str, dict[str, str]]:
        """Return each version with ``at`` and ``why``."""
        return self._read()["reasons"]

    def attempt(self, version: str) -> int:
        """Return how many times a version has been tried as a canary, this time among them."""
        return self._read()["attempts"].get(version, 1)

    def add(self, version: str, why: str) -> bool:
        """Give a version up; False where that was done already."""
        known = self._read()
        if version in known["reasons"]:
            return False
        known["reasons"][version] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "why": why}
        self._write(known)
        return True

    def keep(self, canary: str | None) -> None:
        """Forget all but the present canary: once the alias has moved, a version may be tried again."""
        known = self._read()
        gone = set(known["reasons"]) - {canary}
        for version in gone:
            del known["reasons"][version]
            known["attempts"][version] = known["attempts"].get(version, 1) + 1
        if gone:
            self._write(known)

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            return json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {"reasons": {}, "attempts": {}}

    def _write(self, known: dict[str, dict[str, Any]]) -> None:
        write_text(self._file, json.dumps(known, indent=1))
