"""A version whose weights are no numbers any more: what it would answer is an error, and never an answer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from cl.commands.predict import predict_file, predict_texts
from cl.errors import UnservableError
from cl.serving.served_model import load_served_model
from tests.support.damaged_weights import WORD, damage
from tests.support.saved import saved_version  # noqa: F401
from tests.support.servers import until
from tests.support.serving_shop import Server, Shop, made_shop, serving

REASON = "answers with probabilities that are not finite: its weights are damaged; let another version serve"
NOT_FINITE = [float("nan"), float("inf"), float("-inf")]
GOOD, BAD = "my card is lost", f"my card is lost {WORD}"


@pytest.fixture(scope="module")
def shop(tmp_path_factory, tiny_model) -> Shop:
    """A project whose version 1 cannot read one word; version 2 is whole, and 3 answers nothing."""

    def spoil(number: int, version: Path) -> None:
        if number != 2:
            damage(version, "word" if number == 1 else "head", float("nan"))

    serve = {"workers": 1, "poll_seconds": 0.1, "drain_seconds": 0, "precision": "float32"}
    return made_shop(
        tmp_path_factory.mktemp("damaged") / "shop", tiny_model, versions=(1, 2, 3), spoil=spoil, serve=serve
    )


@pytest.fixture(scope="module")
def server(shop: Shop) -> Iterator[Server]:
    shop.promote("1")
    with serving(shop) as server:
        server.champion_is("1")
        yield server


@pytest.fixture
def champion(server: Server) -> Iterator[Shop]:
    """The project while version 1 serves, also after a test that moves aliases."""
    yield server.shop
    server.shop.stores.registry.delete_alias("canary")
    if server.shop.stores.ledger.champion("shop") != "1":
        server.shop.promote("1")
    server.champion_is("1")


def failures(client, version: str) -> float:
    line = f'cl_row_failures_total{{version="{version}"}} '
    found = [row.removeprefix(line) for row in client.get("/metrics").text.splitlines() if row.startswith(line)]
    return float(found[0]) if found else 0.0


@pytest.mark.parametrize(
    ("path", "body", "rows"),
    [
        ("/predict", {"text": BAD}, 1),
        ("/predict", {"texts": [GOOD, BAD, GOOD], "top_k": 2, "probabilities": True}, 3),
        ("/invocations", {"inputs": {"text": [GOOD, BAD]}}, 2),
        ("/invocations", {"dataframe_split": {"columns": ["text"], "data": [[BAD]]}}, 1),
    ],
)
def test_what_is_not_finite_is_an_error_that_is_counted(server: Server, client, path, body, rows) -> None:
    before = failures(client, "1")
    answer = client.post(path, json=body)
    assert answer.status_code == 500
    assert answer.json() == {"error_code": "INTERNAL_ERROR", "message": f"version 1 {REASON} (cl rollback)"}
    assert failures(client, "1") == before + rows
    assert f'cl_requests_total{{route="{path}",status="500"}}' in client.get("/metrics").text
    assert "Traceback" not in server.log()


def test_others_get_their_answers_though_they_are_computed_together(server: Server) -> None:
    def ask(number: int) -> int:
        with server.client() as client:
            return client.post("/predict", json={"text": BAD if number % 4 == 0 else GOOD}).status_code

    with ThreadPoolExecutor(16) as clients:
        assert list(clients.map(ask, range(64))) == [500 if number % 4 == 0 else 200 for number in range(64)]


def test_a_canary_that_answers_what_is_not_finite_is_covered_by_the_champion(champion: Shop, server, client) -> None:
    champion.promote("2")
    server.champion_is("2")
    champion.give("canary", "1", share=1.0)
    until(lambda: server.ready()["canary"] == "1", seconds=60, what="the canary")
    answer = client.post("/predict", json={"text": BAD}).json()
    assert (answer["version"], answer["role"]) == ("2", "champion")


def test_a_version_that_answers_nothing_is_never_served(champion: Shop, server, client) -> None:
    champion.promote("3")
    until(lambda: REASON in server.log(), seconds=60, what="a line of the log")
    assert client.post("/predict", json={"text": GOOD}).json()["version"] == "1"


def test_cl_predict_fails_in_a_line(champion: Shop, tmp_path) -> None:
    for texts in ([BAD], [GOOD, BAD]):
        with pytest.raises(UnservableError) as failed:
            predict_texts(champion.project.root, texts)
        assert str(failed.value) == f"version 1 {REASON} (cl rollback)" and failed.value.exit_code == 1
    rows, out = tmp_path / "rows.csv", tmp_path / "answers.csv"
    pd.DataFrame({"id": ["a", "b"], "text": [GOOD, BAD]}).to_csv(rows, index=False)
    with pytest.raises(UnservableError, match=REASON):
        predict_file(champion.project.root, rows, out)
    assert not out.exists()
    assert predict_texts(champion.project.root, [GOOD])[0]["confidence"] <= 1


@pytest.mark.parametrize("value", NOT_FINITE)
@pytest.mark.parametrize("part", ["encoder", "head"])
def test_a_version_with_damaged_weights_does_not_load(saved, part, value) -> None:
    folder = saved()
    damage(folder, part, value)
    with pytest.raises(UnservableError, match=REASON):
        load_served_model("1", folder, "float32")


@pytest.mark.parametrize("value", NOT_FINITE)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_word_with_a_damaged_embedding_has_no_answer(saved, precision, value) -> None:
    folder = saved()
    damage(folder, "word", value)
    loaded = load_served_model("1", folder, precision)
    assert len(loaded.answer([GOOD], loaded.encode([GOOD]))) == 1
    with pytest.raises(UnservableError, match=REASON):
        loaded.answer([GOOD, BAD], loaded.encode([GOOD, BAD]))
