from __future__ import annotations

import json

import httpx
import pandas as pd
import pytest

from cl.models.inference import predict
from cl.models.persistence import load_learner
from tests.support.command import command
from tests.support.serving_shop import LABELS, Server
from tests.support.tiny import made_sentences

TEXTS = made_sentences(LABELS, 20, seed=5)["text"].tolist()


def test_answers_are_those_of_the_champion_whatever_is_computed_together(server: Server, client) -> None:
    learner = load_learner(server.shop.project.work / "versions" / "1")
    expected = predict(learner, pd.DataFrame({"text": TEXTS}))

    answered = client.post("/predict", json={"texts": TEXTS, "probabilities": True, "top_k": 2}).json()
    assert (answered["model"], answered["version"], answered["role"]) == ("shop", "1", "champion")
    for one, wanted in zip(answered["predictions"], expected, strict=True):
        assert one["label"] == wanted.value
        assert one["confidence"] == pytest.approx(wanted.confidence, abs=1e-4)
        assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-4)
        assert [top["label"] for top in one["top"]] == sorted(
            one["probabilities"], key=lambda k: -one["probabilities"][k]
        )[:2]

    alone = client.post("/predict", json={"text": TEXTS[3]})
    assert alone.json()["predictions"][0]["label"] == expected[3].value
    assert alone.headers["X-Model-Version"] == "1"


@pytest.mark.parametrize(
    "body", [{"texts": TEXTS[:3], "top_k": 1}, {"text": "a", "topk": 3}, {"tokens": [["a"]]}, {"texts": ["a"] * 2_000}]
)
def test_the_short_way_of_a_request_answers_as_the_long_one_and_both_are_counted(client, body) -> None:
    content = json.dumps(body).encode()
    counted = 'cl_requests_total{route="/predict",status="%d"}'
    before = client.get("/metrics").text
    short = client.post("/predict", content=content, headers={"Content-Type": "application/json"})
    long = client.post("/predict?long", content=content, headers={"Content-Type": "application/json"})
    assert _without_ids(short.json()) == _without_ids(long.json())
    assert short.status_code == long.status_code
    assert {name for name in short.headers if name != "date"} == {name for name in long.headers if name != "date"}
    name = counted % short.status_code
    assert _count(client.get("/metrics").text, name) == _count(before, name) + 2


def _without_ids(content: dict) -> dict:
    for prediction in content.get("predictions", []):
        del prediction["id"]
    return content


def _count(metrics: str, name: str) -> float:
    return sum(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(name))


def test_a_text_like_no_other_is_out_of_scope(client) -> None:
    known, strange = client.post("/predict", json={"texts": [TEXTS[0], "zzz qqq " * 30]}).json()["predictions"]
    assert (known["out_of_scope"], strange["out_of_scope"]) == (False, True)


def test_the_command_says_so_too_in_text_and_in_json(server: Server) -> None:
    asked = ("predict", TEXTS[0], "zzz qqq " * 30, "-p", str(server.shop.project.root))
    known, strange = command(*asked).out.splitlines()
    assert "out of scope" in strange and "out of scope" not in known
    assert [answer["out_of_scope"] for answer in json.loads(command(*asked, "--json").out)] == [False, True]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "send exactly one of text, texts and tokens"),
        ({"text": "a", "texts": ["b"]}, "send exactly one of text, texts and tokens"),
        ({"texts": []}, "texts: expected a list of at least 1 item, got an empty list"),
        ({"text": 3}, "text: expected text, got the number 3"),
        ({"text": "a", "topk": 3}, "there is no field 'topk'; the fields are text, texts, tokens, top_k"),
        ({"text": "a", "top_k": 0}, "top_k: expected at least 1, got the number 0"),
        ({"tokens": [["a", "b"]]}, "'shop' reads texts; send text or texts, not tokens"),
    ],
)
def test_what_is_no_request_is_told_in_a_line(client, body, told) -> None:
    answer = client.post("/predict", json=body)
    assert answer.status_code == 422
    assert told in answer.json()["message"] and answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"


def test_feedback_without_a_log_is_taken_and_says_so(server: Server, client) -> None:
    id = client.post("/predict", json={"text": TEXTS[0]}).json()["predictions"][0]["id"]
    answer = client.post("/feedback", json={"id": id, "label": "loan"})
    assert answer.status_code == 200 and answer.json()["id"] == id
    assert client.post("/feedback", json={"id": "17", "label": "loan"}).status_code == 422


def test_metrics_and_documentation_tell_what_is_served(server: Server, client) -> None:
    client.post("/predict", json={"texts": TEXTS})
    text = client.get("/metrics").text
    assert (
        'cl_rows_total{role="champion",version="1"}' in text
        and 'cl_requests_total{route="/predict",status="200"}' in text
    )
    assert 'cl_version_role{role="champion",version="1"} 1.0' in text and "cl_registry_up 1.0" in text
    described = httpx.get(f"{server.url}/openapi.json").json()
    assert {"/predict", "/feedback", "/invocations", "/readyz", "/metrics"} <= set(described["paths"])
    assert described["components"]["schemas"]["PredictRequest"]["examples"]
