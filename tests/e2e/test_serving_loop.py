"""What is served comes back as the next month's data, whatever kills the server in between."""

from __future__ import annotations

import random
import threading
import time

import httpx
import pytest

from cl.lifecycle import run_waiting
from cl.stores.predictions.compaction import FEEDBACK, PREDICTIONS
from cl.stores.predictions.feedback import Feedback
from cl.stores.predictions.predictions import Predictions
from cl.stores.project_folder import ProjectFolder
from tests.support.desk import Desk
from tests.support.served import Server
from tests.support.tiny import made_sentences, tiny_project


@pytest.fixture(scope="module")
def project(tmp_path_factory, tiny_model) -> ProjectFolder:
    project = tiny_project(tmp_path_factory.mktemp("loop") / "shop", tiny_model)
    made_sentences(["loan", "fee"], 100, seed=1).to_csv(project.root / "inbox" / "one.csv", index=False)
    run_waiting(project)
    return project


@pytest.fixture(scope="module")
def acknowledged() -> dict[str, str]:
    """What was right for each answer, as far as a server has said that it is kept."""
    return {}


class Clients:
    """People who ask, and say at once what was right, until the server is gone; what was acknowledged is remembered."""

    def __init__(self, url: str, count: int) -> None:
        self.url, self.acknowledged = url, dict[str, str]()
        self._threads = [threading.Thread(target=self._ask, args=(seed,)) for seed in range(count)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        for thread in self._threads:
            thread.join(60)

    def _ask(self, seed: int) -> None:
        rows = made_sentences(["loan", "fee"], 500, seed=100 + seed)
        with httpx.Client(base_url=self.url, timeout=30) as client:
            for row in rows.itertuples():
                try:
                    asked = client.post("/predict", json={"text": row.text}).raise_for_status().json()
                    id = asked["predictions"][0]["id"]
                    client.post("/feedback", json={"id": id, "label": row.label}).raise_for_status()
                    self.acknowledged[id] = row.label
                except httpx.HTTPStatusError as refused:
                    assert refused.response.status_code == 503, "another worker is still loading"
                    time.sleep(0.2)
                except httpx.TransportError:
                    return


@pytest.mark.parametrize("kills", [1, pytest.param(2, marks=pytest.mark.nightly)])
def test_every_acknowledged_label_outlives_a_server_that_is_killed_under_load(project, acknowledged, kills) -> None:
    for _ in range(kills):
        server = Server(project.root, "--workers", "2")
        with Clients(server.url, 8) as clients:
            deadline = time.monotonic() + 120
            while len(clients.acknowledged) < 100 and time.monotonic() < deadline:
                time.sleep(random.uniform(0.05, 0.2))
            server.kill()
        assert len(clients.acknowledged) >= 100
        acknowledged.update(clients.acknowledged)
    restarted = Server(project.root)
    restarted.stop()
    assert PREDICTIONS.open(project) == FEEDBACK.open(project) == [], "what the dead have left was sealed"
    said = Feedback(project).last().set_index("id")["label"].to_dict()
    assert {id: said.get(id) for id in acknowledged} == acknowledged
    asked = Predictions(project).of(list(acknowledged))
    lost = set(acknowledged) - set(asked["id"])
    assert len(lost) <= len(acknowledged) // 50, "a label may be told to another worker than the one that lost its text"


def test_labelled_predictions_are_ingested_once_and_learnt(project, acknowledged) -> None:
    desk = Desk(project.root)
    (made,) = desk.json("ingest", "--from-serving")
    assert made["name"] == "serving" and sum(made["rows"].values()) >= 0.75 * len(acknowledged) > 0
    assert desk.json("ingest", "--from-serving") == []
    cycles = desk.json("run", "--plain")
    assert cycles[-1]["experience"]["id"] == made["id"] and cycles[-1]["drift"]["champion_score"] is not None
    for wrong in (("ingest",), ("ingest", "x.csv", "--from-serving")):
        done = desk.cl(*wrong)
        assert done.returncode == 2 and "give either PATH or --from-serving" in done.stderr


def test_a_redaction_that_is_not_there_keeps_the_server_from_starting(desk) -> None:
    desk.configure(serve={"log": {"redact": ["no_such_module:names"]}})
    done = desk.cl("serve")
    assert done.returncode == 2 and "serve.log.redact: 'no_such_module:names' cannot be imported" in done.stderr
    assert "Traceback" not in done.stderr
