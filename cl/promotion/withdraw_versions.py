"""Take versions out of service for good, because of what they have learned or answer."""

from __future__ import annotations

from collections.abc import Sequence

from cl.promotion.by_hand import withdraw
from cl.records import WITHDRAWN
from cl.registry.descriptions import refresh_descriptions
from cl.stores.ledger import state
from cl.stores.ledger.ledger import Ledger
from cl.stores.mlflow.registry import Registry


def withdraw_versions(registry: Registry, ledger: Ledger, versions: Sequence[str], *, why: str) -> None:
    """End the trials of these versions as canary or shadow, and mark each so that it can never serve again.

    May be repeated. None of them is the champion.
    """
    for alias in state.TRIAL_ALIASES:
        if state.holder(ledger.entries(registry.model), alias) in versions:
            withdraw(registry, ledger, alias, why=why)
    for version in versions:
        registry.tag_version(version, WITHDRAWN, why)
    refresh_descriptions(registry, ledger.entries(registry.model), versions)
