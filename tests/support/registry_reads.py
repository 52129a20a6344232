"""All that commands which only look read from a registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cl.errors import StoreError
from cl.stores.mlflow.registry import Registry


def reads(registry: Registry, versions: Sequence[str]) -> dict[str, Any]:
    """Return all that commands which only look read from a registry, or the error that they report."""
    questions: dict[str, Callable[[], Any]] = {
        "aliases": registry.aliases,
        "versions": registry.versions,
        "head": registry.ledger_head,
        "missing": registry.missing_model,
        "experiment": registry.runs.problem,
        "cycles": registry.runs.cycles,
        "recorded": registry.runs.recorded,
        **{f"tags of {version}": lambda version=version: registry.tags(version) for version in versions},
        **{
            f"{name} of {info.version}": lambda info=info, name=name: registry.files.record(info, name)
            for info in registry.versions()
            for name in ("history.json", "gates.json", "nothing.json")
        },
    }
    answers: dict[str, Any] = {}
    for name, question in questions.items():
        try:
            answers[name] = question()
        except StoreError as error:
            answers[name] = str(error)
    return answers
