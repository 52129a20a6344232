"""`cl gates`: what the gates said of a challenger and on which rows; and what another policy would have said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from cl.commands.opening import Opened, opened
from cl.commands.regressions import regressions, stored_rows
from cl.config import Config, parse
from cl.errors import ConfigError, InputError
from cl.gate import judged
from cl.records import Cycle, GateReport
from cl.reports.numbers import control_words, numbers_of
from cl.smoke import SMOKE
from cl.yaml12 import read_yaml


def verdicts_of(folder: Path, version: str | None) -> dict[str, Any]:
    """Return the verdicts on a version, or on the last challenger, and the test rows that it lost.

    Raises:
        InputError: no challenger was judged, or none became that version.
    """
    at = opened(folder)
    cycle = _wanted(_judged(at), version)
    assert cycle.gates is not None and cycle.evaluation is not None
    rows, control = stored_rows(at, cycle), cycle.evaluation.control
    return {
        "experience": cycle.experience.id,
        "version": cycle.promotion.version if cycle.promotion else None,
        "verdict": cycle.verdict,
        **cycle.gates.model_dump(mode="json", exclude={"verdicts": {"__all__": {"parts"}}}),
        "table": cycle.gates.table,
        "measured": [one.model_dump(mode="json") for one in numbers_of(cycle.evaluation)],
        "control": control and control_words(control),
        "lost": [] if rows is None else [one.model_dump(mode="json") for one in regressions(at, rows)],
    }


def replayed(folder: Path, policy: Path) -> list[dict[str, Any]]:
    """Return for every judged cycle what its gates said, and what those of a policy say of the same stored rows.

    Args:
        folder: the project.
        policy: YAML with ``gates`` and, if wanted, ``gate_policy``, as in cl.yaml.

    Raises:
        ConfigError: the policy cannot be read or holds something else.
        InputError: no challenger was judged yet.
    """
    at = opened(folder)
    config = _with_policy(at.config, policy)
    return [_again(at, config, cycle) for cycle in _judged(at)]


def _again(at: Opened, config: Config, cycle: Cycle) -> dict[str, Any]:
    assert cycle.evaluation is not None and cycle.gates is not None
    rows = stored_rows(at, cycle)
    now = None if rows is None else _with_smoke_test(judged(config, cycle.evaluation, rows), cycle.gates)
    return {
        "experience": cycle.experience.id,
        "version": cycle.promotion.version if cycle.promotion else None,
        "then": cycle.gates.passed,
        "now": now.passed if now else None,
        "refused_by": _refusals(now) if now else ["its rows are not stored any more"],
        "undecided": _undecided(now) if now else [],
    }


def _with_smoke_test(now: GateReport, then: GateReport) -> GateReport:
    """Return a report with the smoke test's refusal, if there was one: no policy makes such a version serve."""
    failed = [one for one in then.verdicts if one.gate == SMOKE and not one.passed]
    return now.model_copy(update={"passed": now.passed and not failed, "verdicts": [*now.verdicts, *failed]})


def _judged(at: Opened) -> list[Cycle]:
    at.stores.registry.initialise()
    cycles = [one for one in at.stores.registry.cycles() if one.gates is not None and one.evaluation is not None]
    if not cycles:
        raise InputError(f"{at.project.root}: no challenger has been judged yet; cl run")
    return cycles


def _wanted(cycles: list[Cycle], version: str | None) -> Cycle:
    if version is None:
        return cycles[-1]
    found = [one for one in cycles if one.promotion and one.promotion.version == version]
    if not found:
        known = ", ".join(one.promotion.version for one in cycles if one.promotion)
        raise InputError(f"no version {version} that was judged; there are: {known or 'none'}")
    return found[-1]


def _with_policy(config: Config, path: Path) -> Config:
    try:
        raw = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict) or not raw or set(raw) - {"gates", "gate_policy"}:
        raise ConfigError(f"{path}: must hold gates, gate_policy or both, and nothing else")
    wanted = raw.get("gate_policy")
    if isinstance(wanted, dict):
        allowed = config.gate_policy.functions
        if wanted.get("functions") == "allow" and allowed == "refuse":
            raise ConfigError(f"{path}: only cl.yaml may set gate_policy.functions: allow, for it lets rules run code")
        raw["gate_policy"] = {"functions": allowed, **wanted}
    return parse({**config.model_dump(mode="json", by_alias=True), **raw}, where=str(path))


def _refusals(report: GateReport) -> list[str]:
    return [f"{one.gate}: {one.why}" for one in report.verdicts if not one.passed]


def _undecided(report: GateReport) -> list[str]:
    return [f"{one.gate}: {one.why}" for one in report.verdicts if one.passed and one.undecided]
