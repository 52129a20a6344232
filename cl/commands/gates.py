"""`cl gates`: the verdicts on a challenger and the rows it lost, or the verdicts under another policy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cl.commands._regressions import read_stored_rows, worst_regressions
from cl.commands._version_catalogue import VersionCatalogue, read_versions
from cl.config import Config, parse
from cl.config.yaml import read_yaml_file
from cl.errors import ConfigError, InputError
from cl.gating.gate import judge
from cl.records import Cycle, Evaluation, GateReport, Verdict
from cl.registry.smoke_test import SMOKE
from cl.reports.measurements import describe_control, list_measurements
from cl.stores.mlflow.registry import FORM, SMOKE_TAG
from cl.stores.mlflow.runs import CYCLE_ID
from cl.stores.opened import OpenProject, open_project

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class JudgedVersion:
    """An evaluated version with its verdicts; ``stored`` is the id of its stored rows, None: they are not stored."""

    version: str | None
    experience: str
    verdict: str
    gates: GateReport
    evaluation: Evaluation
    stored: str | None


def read_verdicts(folder: Path, version: str | None) -> dict[str, Any]:
    """Return the verdicts on a version, or on the last challenger, and the test rows that it lost; {}: there is none.

    Raises:
        InputError: there is no such version, or its verdicts were not kept.
    """
    versions = read_versions(open_project(folder, reading=True))
    if version is not None:
        judged = _judged_version(versions, version)
    elif (last := _last_challenger(versions)) is not None:
        judged = last
    else:
        return {}
    rows, control = _stored_rows(versions.project, judged), judged.evaluation.control
    return {
        "experience": judged.experience,
        "version": judged.version,
        "verdict": judged.verdict,
        **judged.gates.model_dump(mode="json", exclude={"verdicts": {"__all__": {"parts"}}}),
        "table": judged.gates.table,
        "measured": [number.model_dump(mode="json") for number in list_measurements(judged.evaluation)],
        "control": control and describe_control(control),
        "lost": []
        if rows is None
        else [row.model_dump(mode="json") for row in worst_regressions(versions.project, rows)],
    }


def replay_gates(folder: Path, policy: Path) -> list[dict[str, Any]]:
    """Return the verdicts on every evaluated version, and those of another policy on the same rows.

    Challengers of cycles come first, oldest first, then compressed versions.

    Args:
        folder: the project.
        policy: YAML file with ``gates``, ``gate_policy`` or both, as in cl.yaml.

    Raises:
        ConfigError: the policy cannot be read or has other keys.
    """
    project = open_project(folder, reading=True)
    config, versions = _apply_policy(project.config, policy), read_versions(project)
    judged = _judged_challengers(versions)
    known = {challenger.version for challenger in judged}
    derived = [info.version for info in versions.infos.values() if info.tags.get(FORM) and info.version not in known]
    kept = [(version, _read_kept(versions, version)) for version in derived]
    judged += [_with_kept_verdicts(versions, version, record) for version, record in kept if record is not None]
    return [_judge_again(project, config, version) for version in judged]


def _judge_again(project: OpenProject, config: Config, judged: JudgedVersion) -> dict[str, Any]:
    rows = _stored_rows(project, judged)
    now = None if rows is None else _carry_smoke_test(judge(config, judged.evaluation, rows.to_pandas()), judged.gates)
    return {
        "experience": judged.experience,
        "version": judged.version,
        "then": judged.gates.passed,
        "now": now.passed if now else None,
        "refused_by": _list_refusals(now) if now else ["its rows are no longer stored"],
        "undecided": _list_undecided(now) if now else [],
    }


def _stored_rows(project: OpenProject, judged: JudgedVersion) -> pa.Table | None:
    return None if judged.stored is None else read_stored_rows(project, judged.stored)


def _carry_smoke_test(now: GateReport, then: GateReport) -> GateReport:
    """Return a report with the past smoke test's failure, if any: no policy lets such a version serve."""
    failed = [verdict for verdict in then.verdicts if verdict.gate == SMOKE and not verdict.passed]
    return now.model_copy(update={"passed": now.passed and not failed, "verdicts": [*now.verdicts, *failed]})


def _last_challenger(versions: VersionCatalogue) -> JudgedVersion | None:
    past = versions.runs.past
    runs = (past.run_of(outline.id) for outline in past.newest_first() if outline.trained)
    cycles = (versions.runs.cycle(run) for run in runs if run)
    return next((_challenger_of(cycle) for cycle in cycles if cycle.gates and cycle.evaluation), None)


def _judged_challengers(versions: VersionCatalogue) -> list[JudgedVersion]:
    return [
        _challenger_of(cycle) for cycle in versions.cycles if cycle.gates is not None and cycle.evaluation is not None
    ]


def _challenger_of(cycle: Cycle) -> JudgedVersion:
    assert cycle.gates is not None and cycle.evaluation is not None
    version = cycle.promotion.version if cycle.promotion else None
    return JudgedVersion(version, cycle.experience.id, cycle.verdict, cycle.gates, cycle.evaluation, cycle.id)


def _judged_version(versions: VersionCatalogue, version: str) -> JudgedVersion:
    """Return the verdicts on a version: from its cycle, else those stored with the version."""
    info, cycle = versions.get(version), versions.cycle(version)
    if cycle is not None and cycle.gates is not None and cycle.evaluation is not None:
        return _challenger_of(cycle)
    kept = _read_kept(versions, version)
    if kept is None:
        raise InputError(
            f"version {version} of '{versions.project.config.name}' has no stored verdicts: "
            f"{info.withdrawn or 'its run was removed from MLflow, or it was not registered by Perennial'}"
        )
    return _with_kept_verdicts(versions, version, kept)


def _with_kept_verdicts(versions: VersionCatalogue, version: str, kept: KeptVerdicts) -> JudgedVersion:
    """Return the verdicts stored with a version that no cycle ended with."""
    info = versions.get(version)
    made = info.tags.get(CYCLE_ID, "")
    return JudgedVersion(
        version,
        info.tags.get("cl.experience", ""),
        versions.verdict(version),
        _add_smoke_test(kept.gates, info.tags.get(SMOKE_TAG)),
        kept.evaluation,
        None
        if versions.runs.past.run_of(made)
        else made,  # a cycle stores only the rows of the version that it ended with
    )


@dataclass(frozen=True)
class KeptVerdicts:
    """The verdicts and the evaluation stored with a version at registration."""

    gates: GateReport
    evaluation: Evaluation


def _read_kept(versions: VersionCatalogue, version: str) -> KeptVerdicts | None:
    text = versions.project.stores.registry.files.record(versions.infos[version], "gates.json")
    evaluation = versions.evaluation(version)
    return (
        None if text is None or evaluation is None else KeptVerdicts(GateReport.model_validate_json(text), evaluation)
    )


def _add_smoke_test(gates: GateReport, outcome: str | None) -> GateReport:
    """Return a report with the outcome of the smoke test, which ran after it was written; None: there was none."""
    if outcome is None:
        return gates
    passed = outcome == "passed"
    why = f"loaded in a fresh process it {'answers' if passed else 'does not answer'} as during evaluation"
    verdict = Verdict(gate=SMOKE, passed=passed, why=why)
    return gates.model_copy(update={"passed": gates.passed and passed, "verdicts": [*gates.verdicts, verdict]})


def _apply_policy(config: Config, path: Path) -> Config:
    raw = read_yaml_file(path).data
    if not isinstance(raw, dict) or not raw or set(raw) - {"gates", "gate_policy"}:
        raise ConfigError(f"{path}: must have the keys gates, gate_policy or both, and no others")
    wanted = raw.get("gate_policy")
    if isinstance(wanted, dict):
        allowed = config.gate_policy.functions
        if wanted.get("functions") == "allow" and allowed == "refuse":
            raise ConfigError(f"{path}: only cl.yaml may set gate_policy.functions: allow, which lets gates run code")
        raw["gate_policy"] = {"functions": allowed, **wanted}
    return parse({**config.model_dump(mode="json", by_alias=True), **raw}, where=str(path))


def _list_refusals(report: GateReport) -> list[str]:
    return [f"{verdict.gate}: {verdict.why}" for verdict in report.verdicts if not verdict.passed]


def _list_undecided(report: GateReport) -> list[str]:
    return [f"{verdict.gate}: {verdict.why}" for verdict in report.verdicts if verdict.passed and verdict.undecided]
