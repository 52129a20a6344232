"""`cl gates`: what the gates said of a challenger and on which rows; and what another policy would have said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from cl.commands._regressions import read_stored_rows, worst_regressions
from cl.commands._version_catalogue import VersionCatalogue, read_versions
from cl.config import Config, parse
from cl.config.yaml import read_yaml
from cl.errors import ConfigError, InputError
from cl.gating.gate import judge
from cl.records import Cycle, Evaluation, GateReport, Verdict
from cl.registry.smoke_test import SMOKE
from cl.reports.measurements import describe_control, list_measurements
from cl.stores.mlflow.registry import FORM, SMOKED
from cl.stores.mlflow.runs import CYCLE_ID
from cl.stores.opened import OpenProject, open_project


@dataclass(frozen=True)
class JudgedVersion:
    """A version that gates have judged, what they said, and under which id its rows are stored; None: they are not."""

    version: str | None
    experience: str
    verdict: str
    gates: GateReport
    evaluation: Evaluation
    stored: str | None


def read_verdicts(folder: Path, version: str | None) -> dict[str, Any]:
    """Return the verdicts on a version, or on the last cycle's challenger, and the test rows that it lost.

    Raises:
        InputError: no challenger was judged, there is no such version, or no verdicts on it were kept.
    """
    versions = read_versions(open_project(folder))
    one = _version(versions, version) if version is not None else _cycles(versions)[-1]
    rows, control = _rows(versions.at, one), one.evaluation.control
    return {
        "experience": one.experience,
        "version": one.version,
        "verdict": one.verdict,
        **one.gates.model_dump(mode="json", exclude={"verdicts": {"__all__": {"parts"}}}),
        "table": one.gates.table,
        "measured": [number.model_dump(mode="json") for number in list_measurements(one.evaluation)],
        "control": control and describe_control(control),
        "lost": [] if rows is None else [row.model_dump(mode="json") for row in worst_regressions(versions.at, rows)],
    }


def replay_gates(folder: Path, policy: Path) -> list[dict[str, Any]]:
    """Return what the gates said of every version that was judged, and what those of a policy say of the same rows.

    Challengers of cycles come first, oldest first, then versions that were derived.

    Args:
        folder: the project.
        policy: YAML with ``gates`` and, if wanted, ``gate_policy``, as in cl.yaml.

    Raises:
        ConfigError: the policy cannot be read or holds something else.
        InputError: no challenger was judged yet.
    """
    at = open_project(folder)
    config, versions = _with_policy(at.config, policy), read_versions(at)
    judged_ones = _cycles(versions)
    known = {one.version for one in judged_ones}
    derived = [info.version for info in versions.infos.values() if info.tags.get(FORM) and info.version not in known]
    kept = [(one, _record(versions, one)) for one in derived]
    judged_ones += [_derived(versions, one, record) for one, record in kept if record is not None]
    return [_again(at, config, one) for one in judged_ones]


def _again(at: OpenProject, config: Config, one: JudgedVersion) -> dict[str, Any]:
    rows = _rows(at, one)
    now = None if rows is None else _with_smoke_test(judge(config, one.evaluation, rows), one.gates)
    return {
        "experience": one.experience,
        "version": one.version,
        "then": one.gates.passed,
        "now": now.passed if now else None,
        "refused_by": _refusals(now) if now else ["its rows are not stored any more"],
        "undecided": _undecided(now) if now else [],
    }


def _rows(at: OpenProject, one: JudgedVersion) -> pd.DataFrame | None:
    return None if one.stored is None else read_stored_rows(at, one.stored)


def _with_smoke_test(now: GateReport, then: GateReport) -> GateReport:
    """Return a report with the smoke test's refusal, if there was one: no policy makes such a version serve."""
    failed = [one for one in then.verdicts if one.gate == SMOKE and not one.passed]
    return now.model_copy(update={"passed": now.passed and not failed, "verdicts": [*now.verdicts, *failed]})


def _cycles(versions: VersionCatalogue) -> list[JudgedVersion]:
    found = [_challenger(one) for one in versions.cycles if one.gates is not None and one.evaluation is not None]
    if not found:
        raise InputError(f"{versions.at.project.root}: no challenger has been judged yet; cl run")
    return found


def _challenger(cycle: Cycle) -> JudgedVersion:
    assert cycle.gates is not None and cycle.evaluation is not None
    version = cycle.promotion.version if cycle.promotion else None
    return JudgedVersion(version, cycle.experience.id, cycle.verdict, cycle.gates, cycle.evaluation, cycle.id)


def _version(versions: VersionCatalogue, version: str) -> JudgedVersion:
    """Return the verdicts on a version: of the cycle whose challenger it was, else those that were kept with it."""
    info, cycle = versions.get(version), versions.cycle(version)
    if cycle is not None and cycle.gates is not None and cycle.evaluation is not None:
        return _challenger(cycle)
    kept = _record(versions, version)
    if kept is None:
        raise InputError(
            f"version {version} of '{versions.at.config.name}': no verdicts are kept: "
            f"{info.withdrawn or 'its run was removed from MLflow, or it was not registered by Perennial'}"
        )
    return _derived(versions, version, kept)


def _derived(versions: VersionCatalogue, version: str, kept: KeptVerdicts) -> JudgedVersion:
    """Return the verdicts that were kept with a version that no cycle ended with."""
    info, others = versions.get(version), {one.id for one in versions.cycles}
    made = info.tags.get(CYCLE_ID, "")
    return JudgedVersion(
        version,
        info.tags.get("cl.experience", ""),
        versions.verdict(version),
        _smoked(kept.gates, info.tags.get(SMOKED)),
        kept.evaluation,
        None if made in others else made,  # a cycle stores the rows of the version that it ended with
    )


@dataclass(frozen=True)
class KeptVerdicts:
    """What was written down of a version when it was registered."""

    gates: GateReport
    evaluation: Evaluation


def _record(versions: VersionCatalogue, version: str) -> KeptVerdicts | None:
    text = versions.at.stores.registry.record(versions.infos[version], "gates.json")
    evaluation = versions.evaluation(version)
    return (
        None if text is None or evaluation is None else KeptVerdicts(GateReport.model_validate_json(text), evaluation)
    )


def _smoked(gates: GateReport, found: str | None) -> GateReport:
    """Return a report with how the smoke test has ended, which came after it was written; None: there was none."""
    if found is None:
        return gates
    passed = found == "passed"
    why = f"loaded back in a fresh process it {'answers' if passed else 'does not answer'} as it was evaluated"
    verdict = Verdict(gate=SMOKE, passed=passed, why=why)
    return gates.model_copy(update={"passed": gates.passed and passed, "verdicts": [*gates.verdicts, verdict]})


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
