"""Artifacts that runs leave in Prefect's UI; a server that is briefly unreachable must not stop a cycle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from cl import plugins
from cl.config import Config
from cl.monitoring.triggers import DriftCheck, TrafficCheck
from cl.records import Cycle
from cl.reports.drift_alarm import alarm_text, findings_table
from cl.reports.terminal.cycles import reason_lines
from cl.stores.predictions.predictions import Predictions
from cl.stores.stores import Stores


def show_drift_check(config: Config, stores: Stores, check: DriftCheck) -> None:
    """Show the drift check of an experience: the alarm, if any, and a table of all detectors."""
    if check.drift.drifted:
        texts = _texts(config, stores)
        text = alarm_text(check.experience, check.drift, check.champion, texts)
        _create_artifact(create_markdown_artifact, text, key=_key(config, "alarm"), description=check.experience.id)
    if check.drift.findings:
        table = findings_table(check.drift)
        _create_artifact(create_table_artifact, table, key=_key(config, "detectors"), description=check.experience.id)


def show_traffic(config: Config, stores: Stores, check: TrafficCheck) -> None:
    """Show the drift check of unlabelled traffic: the alarm, if any, and a table of all detectors."""
    if check.drift.drifted:

        def texts(_: str, ids: list[str]) -> dict[str, str]:
            rows = Predictions(stores.project).of(ids)
            return dict(zip(rows["id"], plugins.build("tasks", config.task).texts(rows), strict=True)) if ids else {}

        text = alarm_text(check, check.drift, check.champion, texts)
        _create_artifact(create_markdown_artifact, text, key=_key(config, "traffic-alarm"), description=check.id)
    _create_artifact(
        create_table_artifact, findings_table(check.drift), key=_key(config, "traffic-detectors"), description=check.id
    )


def show_cycle(config: Config, stores: Stores, cycle: Cycle) -> None:
    """Show how a cycle ended, its gates as a table, and a link to its MLflow run."""
    id = cycle.experience.id
    _create_artifact(create_markdown_artifact, cycle_text(config, cycle), key=_key(config, "cycle"), description=id)
    if cycle.gates:
        table = [verdict.model_dump(mode="json") for verdict in cycle.gates.verdicts]
        _create_artifact(create_table_artifact, table, key=_key(config, "gates"), description=id)
    page = stores.registry.runs.page(cycle.run) if cycle.run else None
    if page:
        _create_artifact(
            create_link_artifact, page, key=_key(config, "mlflow"), link_text=f"MLflow: {id}", description=id
        )


def cycle_text(config: Config, cycle: Cycle) -> str:
    """Return a finished cycle as Markdown."""
    reasons = [f"- {line.strip()}" for line in reason_lines([cycle])]
    gates = [f"- {verdict.gate}: {verdict.why}" for verdict in (cycle.gates.verdicts if cycle.gates else [])]
    run_line = f"MLflow run `{cycle.run}` of experiment `{config.name}`"
    heading = f"# {cycle.experience.id}: {cycle.verdict}"
    return "\n".join([heading, "", *reasons, *gates, f"- champion: version {cycle.champion_after}", f"- {run_line}"])


def _texts(config: Config, stores: Stores) -> Callable[[str, list[str]], dict[str, str]]:
    return lambda experience, ids: stores.texts(config.task, experience, ids)


def _key(config: Config, kind: str) -> str:
    return f"{config.name.lower().replace('_', '-')}-{kind}"


def _create_artifact(create: Callable[..., Any], content: Any, **options: Any) -> None:
    content_parameters = {
        create_link_artifact: "link",
        create_table_artifact: "table",
        create_markdown_artifact: "markdown",
    }
    try:
        create(**{content_parameters[create]: content}, **options)
    except httpx.HTTPError as error:
        get_run_logger().warning("artifact %s could not be created: %s", options["key"], type(error).__name__)
