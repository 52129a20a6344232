"""The cycles of a project on a tracking server, read without writing anything here."""

from __future__ import annotations

import yaml

from cl import config as configuration
from cl.stores.mlflow.runs import Runs
from cl.stores.opened import open_project
from cl.stores.read_only import ReadOnlyStores
from tests.support.servers import TrackingServer
from tests.support.team_page import state_of


def test_the_cycles_of_a_server_are_read_and_leave_no_trace_here(champion_shop, tmp_path) -> None:
    project = champion_shop()
    (cycle,) = open_project(project.root).stores.registry.runs.cycles()
    server = TrackingServer(tmp_path)
    server.start()
    try:
        runs = Runs(server.url, None, "shop")
        runs.initialise()
        run = runs.start_run(cycle.id, cycle.experience.id, {})
        runs.record_cycle(run, cycle)
        runs.start_run("another", "unfinished", {})
        raw = yaml.safe_load(project.config.read_text())
        project.config.write_text(yaml.safe_dump({**raw, "stores": {"tracking_uri": server.url, "artifacts": None}}))
        before = state_of(project.root)
        reader = ReadOnlyStores(project, configuration.load(project.config))
        (finished,) = reader.finished
        assert (finished.id, finished.experience, finished.verdict, finished.version) == (
            run, cycle.experience.id, "promoted", "1",
        )  # fmt: skip
        assert finished.artifacts.startswith("mlflow-artifacts:") and reader.cycle(finished) == cycle
        assert state_of(project.root) == before
    finally:
        server.kill()
