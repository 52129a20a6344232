"""What a run leaves in Prefect's UI for people to read; a server that is away for a moment must not stop a cycle."""

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


def show_look(config: Config, stores: Stores, look: DriftCheck) -> None:
    """Show what was seen of an experience: the alarm, if there is one, and a table of all detectors."""
    if look.drift.drifted:
        texts = _texts(config, stores)
        text = alarm_text(look.experience, look.drift, look.champion, texts)
        _leave(create_markdown_artifact, text, key=_key(config, "alarm"), description=look.experience.id)
    if look.drift.findings:
        table = findings_table(look.drift)
        _leave(create_table_artifact, table, key=_key(config, "detectors"), description=look.experience.id)


def show_traffic(config: Config, stores: Stores, look: TrafficCheck) -> None:
    """Show what was seen of answers without labels: the alarm, if there is one, and a table of all detectors."""
    if look.drift.drifted:

        def texts(_: str, ids: list[str]) -> dict[str, str]:
            rows = Predictions(stores.project).of(ids)
            return dict(zip(rows["id"], plugins.build("tasks", config.task).texts(rows), strict=True)) if ids else {}

        text = alarm_text(look, look.drift, look.champion, texts)
        _leave(create_markdown_artifact, text, key=_key(config, "traffic-alarm"), description=look.id)
    _leave(
        create_table_artifact, findings_table(look.drift), key=_key(config, "traffic-detectors"), description=look.id
    )


def show_cycle(config: Config, stores: Stores, cycle: Cycle) -> None:
    """Show how a cycle ended, its gates as a table, and a link to its MLflow run."""
    id = cycle.experience.id
    _leave(create_markdown_artifact, cycle_text(config, cycle), key=_key(config, "cycle"), description=id)
    if cycle.gates:
        table = [one.model_dump(mode="json") for one in cycle.gates.verdicts]
        _leave(create_table_artifact, table, key=_key(config, "gates"), description=id)
    page = stores.registry.page(cycle.run) if cycle.run else None
    if page:
        _leave(create_link_artifact, page, key=_key(config, "mlflow"), link_text=f"MLflow: {id}", description=id)


def cycle_text(config: Config, cycle: Cycle) -> str:
    """Return a finished cycle as Markdown."""
    reasons = [f"- {line.strip()}" for line in reason_lines([cycle])]
    gates = [f"- {one.gate}: {one.why}" for one in (cycle.gates.verdicts if cycle.gates else [])]
    where = f"MLflow run `{cycle.run}` of experiment `{config.name}`"
    head = f"# {cycle.experience.id}: {cycle.verdict}"
    return "\n".join([head, "", *reasons, *gates, f"- champion: version {cycle.champion_after}", f"- {where}"])


def _texts(config: Config, stores: Stores) -> Callable[[str, list[str]], dict[str, str]]:
    return lambda experience, ids: stores.texts(config.task, experience, ids)


def _key(config: Config, what: str) -> str:
    return f"{config.name.lower().replace('_', '-')}-{what}"


def _leave(create: Callable[..., Any], content: Any, **about: Any) -> None:
    named = {create_link_artifact: "link", create_table_artifact: "table", create_markdown_artifact: "markdown"}
    try:
        create(**{named[create]: content}, **about)
    except httpx.HTTPError as error:
        get_run_logger().warning("artifact %s was not left: %s", about["key"], type(error).__name__)
