"""A task of columns of any kind is served by its schema alone: requests, answers, feedback, the log and the page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
import torch

from cl import config as configuration
from cl.ingestion.ingest import ingest
from cl.ingestion.sources.serving import Serving
from cl.registry.versions import LoadedVersion
from cl.serving.app import create_app
from cl.serving.worker import ServingWorker
from cl.stores.data.experiences import Experiences
from cl.stores.predictions.logged_values import from_log
from cl.stores.predictions.predictions import Predictions
from tests.support.kinds import TASKS, made_rows, offered  # noqa: F401
from tests.support.serving_shop import Shop, made_shop

pytestmark = pytest.mark.usefixtures("offered")
ADDRESS = "127.0.0.1"
ANSWERS = {"topics": ["card"], "relations": "lives_in", "questions": ["paris"]}


def shop_of(name: str, folder: Path, tiny_model: Path) -> Shop:
    shop = made_shop(
        folder / "shop", tiny_model, rows=lambda seed: made_rows(name, 12, seed=seed), versions=(1,), task=name
    )
    shop.promote("1")
    shop.configure(poll_seconds=0.1, precision="float32", new_labels="confirm")
    return shop


def asking(shop: Shop, ask: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    """Run a server of the shop in this process, and ask it something."""

    async def run() -> None:
        worker = ServingWorker(configuration.load(shop.project.config), shop.stores)
        worker.draining.arm = lambda loop: None  # type: ignore[method-assign]  # it is pytest that signals stop
        app = create_app(worker, listens_on=ADDRESS)
        await worker.start()
        try:
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{ADDRESS}") as client:
                await ask(client)
        finally:
            await worker.stop()

    asyncio.run(run())


def test_a_server_that_has_stopped_leaves_as_many_threads_as_it_found(tmp_path, tiny_model) -> None:
    before, while_serving = torch.get_num_threads(), []
    shop = shop_of(next(iter(TASKS)), tmp_path, tiny_model)
    shop.configure(poll_seconds=0.1, threads=before + 1)

    async def ask(client: httpx.AsyncClient) -> None:
        while_serving.append(torch.get_num_threads())

    asking(shop, ask)
    assert while_serving == [before + 1] and torch.get_num_threads() == before


def inputs_of(name: str, rows: pd.DataFrame) -> list[dict[str, Any]]:
    return rows[TASKS[name].schema.input_names].to_dict("records")


@pytest.mark.parametrize("name", TASKS)
def test_a_task_of_any_kind_is_asked_corrected_logged_and_learned_from(name, tmp_path, tiny_model) -> None:
    schema, rows = TASKS[name].schema, made_rows(name, 4, seed=5)
    shop, given, field = shop_of(name, tmp_path, tiny_model), inputs_of(name, rows), schema.answer_field
    is_text = schema.input is not None
    seen: dict[str, Any] = {}

    async def ask(client: httpx.AsyncClient) -> None:
        body = {"texts": [row["text"] for row in given]} if is_text else {"inputs": given}
        done = await client.post("/predict", json=body)
        assert done.status_code == 200, done.text
        answers = done.json()["predictions"]
        assert len(answers) == 4 and all(
            set(answer) == {"id", field, "confidence", "out_of_scope"} for answer in answers
        )
        assert all(isinstance(answer[field], str if name == "relations" else list) for answer in answers)
        single = {"text": given[0]["text"]} if is_text else {"input": given[0]}
        (alone,) = (await client.post("/predict", json=single)).json()["predictions"]
        assert alone[field] == answers[0][field]

        wants_top = await client.post("/predict", json={**single, "top_k": 2})
        if name == "relations":
            assert len(wants_top.json()["predictions"][0]["top"]) == 2
        else:
            assert wants_top.status_code == 422 and "has no probabilities over labels" in wants_top.text

        as_mlflow = await client.post("/invocations", json={"dataframe_records": given})
        assert [row[schema.answer.name] for row in as_mlflow.json()["predictions"]] == [a[field] for a in answers]
        columns = {"columns": list(given[0]), "data": [list(row.values()) for row in given]}
        split = await client.post("/invocations", json={"dataframe_split": columns})
        assert split.json() == as_mlflow.json()
        by_column = {column: [row[column] for row in given] for column in given[0]}
        assert (await client.post("/invocations", json={"inputs": by_column})).json() == as_mlflow.json()
        last = schema.input_names[-1]
        missing = await client.post("/invocations", json={"dataframe_records": [given[0], {**given[1], last: None}]})
        assert [row["error"] for row in missing.json()["predictions"]] == [None, f"{last} is missing"]

        for answer in answers:
            said = await client.post("/feedback", json={"id": answer["id"], field: ANSWERS[name]})
            assert said.status_code == 200, said.text
        if schema.answer.kind.names_classes:
            new = ["card", "unheard"] if name == "topics" else "unheard"
            refused = await client.post("/feedback", json={"id": answers[0]["id"], field: new})
            assert refused.status_code == 422 and "does not know 'unheard'" in refused.text
        seen["answers"] = answers

    asking(shop, ask)
    logged = from_log(Predictions(shop.project).of([answer["id"] for answer in seen["answers"]]), schema)
    logged = logged.set_index("id").loc[[answer["id"] for answer in seen["answers"]]]
    for column in schema.input_names:
        assert logged[column].tolist() == [row[column] for row in given]
    (made,) = ingest(configuration.load(shop.project.config), shop.project, Serving(min_rows=4))
    assert made.total == 4
    store = Experiences(shop.project)
    held = pd.concat([store.rows(made.id, split) for split in ("train", "validation", "test")])
    answers = [value if isinstance(value, str) else list(value) for value in held[schema.answer.name]]
    assert answers == [ANSWERS[name]] * 4


@pytest.mark.parametrize(
    ("name", "body", "problem"),
    [
        ("relations", {"text": "anna"}, "there is no field 'text'; the fields are input, inputs, top_k, probabilities"),
        ("relations", {}, "send exactly one of input and inputs"),
        ("relations", {"input": {"text": "anna", "head": [0, 4]}}, "input.tail is missing"),
        (
            "relations",
            {"inputs": [{"text": "anna", "head": [0, 4], "tail": [0, 9]}]},
            "inputs[0]: tail is outside of the text",
        ),
        (
            "relations",
            {"inputs": [{"text": "anna", "head": [0], "tail": [0, 4]}]},
            "inputs[0].head: expected a list of at least 2 items, got a list of 1 item",
        ),
        ("questions", {"input": {"question": 3, "context": "a"}}, "input.question: expected text, got the number 3"),
        ("questions", {"input": {"query": "a"}}, "input: there is no field 'query'; the fields are question, context"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong_with_which_input(name, body, problem, tmp_path, tiny_model) -> None:
    async def ask(client: httpx.AsyncClient) -> None:
        answer = await client.post("/predict", json=body)
        assert answer.status_code == 422 and problem in answer.json()["message"], answer.text

    asking(shop_of(name, tmp_path, tiny_model), ask)


@pytest.mark.parametrize("name", TASKS)
def test_the_description_and_the_page_show_the_columns(name, tmp_path, tiny_model) -> None:
    schema = TASKS[name].schema

    async def ask(client: httpx.AsyncClient) -> None:
        described = (await client.get("/openapi.json")).json()
        bodies = described["components"]["schemas"]
        assert schema.answer_field in bodies["PredictionBody"]["properties"]
        assert schema.answer_field in bodies["FeedbackRequest"]["properties"]
        example = described["paths"]["/invocations"]["post"]["requestBody"]["content"]["application/json"]["examples"]
        assert list(example["dataframe_records"]["value"]["dataframe_records"][0]) == schema.input_names
        page = (await client.get("/")).text
        assert "{{" not in page and f'data-answer="{schema.answer.kind}"' in page
        if schema.input is None:
            assert list(bodies["InputRow"]["properties"]) == schema.input_names
            assert all(f'data-column="{column}"' in page for column in schema.input_names)
            asked = bodies["PredictRequest"]["examples"][0]
            assert (await client.post("/predict", json=asked)).status_code == 200, "the example is one"

    asking(shop_of(name, tmp_path, tiny_model), ask)


@pytest.mark.parametrize("name", TASKS)
def test_a_loaded_version_and_stock_mlflow_take_the_same_columns(name, tmp_path, tiny_model) -> None:
    import mlflow

    from cl.models.persistence import load_learner

    shop, rows, schema = shop_of(name, tmp_path, tiny_model), made_rows(name, 3), TASKS[name].schema
    version = LoadedVersion(load_learner(shop.stores.registry.download("1", tmp_path / "version")))
    answers = version.predict(rows)
    assert list(answers.columns) == [schema.answer.name, "confidence"]
    bare = rows["text"].tolist() if schema.input else inputs_of(name, rows)
    assert version.predict(bare)[schema.answer.name].tolist() == answers[schema.answer.name].tolist()
    broken = rows.astype(object)
    broken.at[1, schema.input_names[-1]] = None
    assert version.predict(broken)["error"].tolist() == [None, f"{schema.input_names[-1]} is missing", None]

    mlflow.set_tracking_uri(shop.stores.registry.tracking_uri)
    signature = mlflow.models.get_model_info("models:/shop/1").signature
    assert signature.inputs.input_names() == schema.input_names
    assert signature.outputs.input_names() == [schema.answer.name, "confidence", "error"]
    json.dumps(signature.to_dict())
