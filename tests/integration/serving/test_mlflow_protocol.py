"""MLflow's protocol: the answers of stock MLflow, from the same bodies."""

from __future__ import annotations

import mlflow
import pytest

from tests.support.serving_shop import LABELS, Server
from tests.support.tiny import made_sentences

ROWS = made_sentences(LABELS, 12, seed=7)[["text"]]


@pytest.fixture(scope="module")
def expected(shop) -> list[dict[str, object]]:
    registry = shop.stores.registry
    with registry.runs.tracking():
        model = mlflow.pyfunc.load_model("models:/shop/1")
    return model.predict(ROWS).to_dict("records")


@pytest.mark.parametrize("form", ["split", "records", "instances", "strings", "inputs", "list", "csv"])
def test_invocations_answer_as_pyfunc_does(server: Server, client, expected, form) -> None:
    texts = ROWS["text"].tolist()
    body = {
        "split": {"dataframe_split": ROWS.to_dict("split")},
        "records": {"dataframe_records": ROWS.to_dict("records")},
        "instances": {"instances": ROWS.to_dict("records")},
        "strings": {"instances": texts},
        "inputs": {"inputs": {"text": texts}},
        "list": {"inputs": texts, "params": None},
    }.get(form)
    if form == "csv":
        frame = ROWS.assign(note="a, b")
        answer = client.post("/invocations", content=frame.to_csv(index=False), headers={"Content-Type": "text/csv"})
    else:
        answer = client.post("/invocations", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()["predictions"]
    assert [one["label"] for one in found] == [one["label"] for one in expected]
    assert [one["confidence"] for one in found] == pytest.approx([one["confidence"] for one in expected], abs=1e-4)
    assert answer.headers["X-Model-Version"] == "1"


def test_health_is_told_as_mlflow_tells_it(client) -> None:
    assert client.get("/ping").status_code == 200 and client.get("/health").status_code == 200
    assert client.get("/version").text == mlflow.__version__


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('{"dataframe_split": {"columns": ["title"], "data": [["a"]]}}', "lacks the column 'text'"),
        ('{"dataframe_split": {"columns": ["text"], "data": [["a", "b"]]}}', "must be a list of 1 values"),
        ('{"dataframe_split": 3}', "must be an object with columns and data"),
        ('{"inputs": ["a"], "instances": ["a"]}', "exactly one of"),
        ('["a"]', "exactly one of"),
        ('{"instances": {"a": 1}}', "lacks the column 'text'"),
        ('{"dataframe_records": 3}', "dataframe_records: expected a list, got the number 3"),
        ('{"inputs": ["\\ud800"]}', "half a character"),
        ('{"inputs": ' + "[" * 20_000 + "]" * 20_000 + "}", "is not JSON"),
        ("{", "is not JSON"),
    ],
)
def test_a_body_that_is_not_in_the_protocol_is_told_in_a_line(client, body, told) -> None:
    answer = client.post("/invocations", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and told in answer.json()["message"], answer.text


def test_other_content_types_are_refused(client) -> None:
    for kind in ("application/vnd.apache.parquet", "application/json; charset=latin-1", ""):
        assert client.post("/invocations", content=b"{}", headers={"Content-Type": kind}).status_code == 415


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ({"dataframe_split": {"columns": ["text"], "data": [["my card"], [None]]}}, [None, "text is missing"]),
        ({"dataframe_records": [{"text": None}, {"text": "my card"}]}, ["text is missing", None]),
        ({"instances": [{"text": None}]}, ["text is missing"]),
        ({"inputs": {"text": ["my card", None, "my card"]}}, [None, "text is missing", None]),
        ({"inputs": [["my card"], [None]]}, [None, "text is missing"]),
        ({"inputs": ["my card", 3, True]}, [None, "text is not text", "text is not text"]),
        ("note,text\na,my card\nb,\n", [None, "text is missing"]),
    ],
)
def test_a_value_that_is_missing_or_no_text_costs_its_row_as_in_pyfunc(shop, client, body, problems) -> None:
    if isinstance(body, str):
        answer = client.post("/invocations", content=body, headers={"Content-Type": "text/csv"})
    else:
        answer = client.post("/invocations", json=body)
    assert answer.status_code == 200, answer.text
    rows = answer.json()["predictions"]
    assert [row["error"] for row in rows] == problems
    (whole,) = client.post("/invocations", json={"inputs": ["my card"]}).json()["predictions"]
    assert set(whole) == {"label", "confidence"}
    for row in rows:
        if row["error"] is None:
            assert row["label"] == whole["label"] and row["confidence"] == pytest.approx(whole["confidence"], abs=1e-4)
        else:
            assert row["label"] is None and row["confidence"] is None
