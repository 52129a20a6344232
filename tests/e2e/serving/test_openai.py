"""OpenAI's routes of a real server: its stock client works, and no answer changes its version."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pandas as pd
import pytest

from cl import plugins
from cl.config import load
from cl.ingestion.sources.serving import read_labelled_rows
from cl.models.generation import write
from cl.models.persistence import load_learner
from cl.stores.predictions.feedback import Feedback
from cl.stores.predictions.predictions import Predictions
from cl.tasks import Task
from tests.support.servers import until
from tests.support.serving_shop import TOKEN, Server, serving
from tests.support.writing_shop import made_writing_shop

PROMPT, ENDLESS = "please help me", "the old box is broken"
"""The champion's answer to the second does not end by itself."""
MOST = 1_500


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Server]:
    settings = {"tokens": "env:SHOP_TOKENS", "writing": {"max_new_tokens": MOST}, "limits": {"characters": 500}}
    shop = made_writing_shop(tmp_path_factory.mktemp("openai") / "shop", tiny_model, serve=settings)
    shop.promote("1")
    with serving(shop) as server:
        server.champion_is("1")
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=TOKEN, max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture
def back_to_version_1(server: Server) -> Iterator[None]:
    yield
    server.shop.stores.registry.delete_alias("canary")
    if server.shop.stores.ledger.champion("shop") != "1":
        server.shop.promote("1")
    server.champion_is("1")
    until(lambda: not server.ready()["canary"], seconds=30)


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def predicted(server: Server, version: str, prompt: str = PROMPT) -> str:
    """What `cl predict` says without a server."""
    learner = load_learner(server.shop.stores.champion_folder(version))
    rows = learner.encode(pd.DataFrame({"prompt": [prompt]}))
    return write(learner, rows)[0].value


def test_the_stock_client_gets_what_cl_predict_says_whole_and_in_pieces(server, client) -> None:
    expected = predicted(server, "1")
    answer = client.chat.completions.create(model="shop", messages=said(PROMPT))
    assert answer.choices[0].message.content == expected and answer.choices[0].message.role == "assistant"
    assert answer.model == "shop@1" and answer.system_fingerprint.startswith("fp_")
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 12 and answer.usage.total_tokens == answer.usage.prompt_tokens + 12
    options = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(model="shop", messages=said(PROMPT), stream=True, stream_options=options)
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == expected and len([piece for piece in pieces if piece]) > 3
    assert {chunk.model for chunk in chunks} == {"shop@1"} and len({chunk.id for chunk in chunks}) == 1
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    assert chunks[-1].usage == answer.usage
    completed = client.completions.create(model="shop", prompt=PROMPT)
    assert completed.choices[0].text == expected and completed.object == "text_completion"
    streamed = client.completions.create(model="shop", prompt=PROMPT, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == expected
    assert [model.id for model in client.models.list()] == ["shop"] and client.models.retrieve("shop").id == "shop"


def test_predict_says_the_same(server) -> None:
    with server.client() as client:
        answer = client.post("/predict", json={"texts": [PROMPT, ENDLESS]}).json()
    assert [row["completion"] for row in answer["predictions"]] == [
        predicted(server, "1"),
        predicted(server, "1", ENDLESS),
    ]


def test_an_answer_ends_before_a_stop_string_at_its_limit_and_with_its_token(client) -> None:
    whole = client.chat.completions.create(model="shop", messages=said(ENDLESS), max_completion_tokens=30)
    text = whole.choices[0].message.content
    assert whole.choices[0].finish_reason == "length" and whole.usage.completion_tokens == 30
    word = text.split()[6]
    before = text[: text.index(f" {word}")].rstrip()
    stopped = client.chat.completions.create(
        model="shop", messages=said(ENDLESS), max_completion_tokens=30, stop=[f" {word}", "never said"]
    )
    assert stopped.choices[0].message.content == before and stopped.choices[0].finish_reason == "stop"
    assert stopped.usage.completion_tokens < 30
    ended = client.chat.completions.create(model="shop", messages=said("where is my card"), max_tokens=400)
    assert ended.choices[0].finish_reason == "stop" and ended.usage.completion_tokens < 400


def test_a_seed_draws_the_same_answer_again(client) -> None:
    def drawn(seed: int) -> str:
        answer = client.chat.completions.create(model="shop", messages=said(PROMPT), temperature=1.5, seed=seed)
        return answer.choices[0].message.content

    assert drawn(3) == drawn(3) != drawn(4)


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"n": 2}, 400, "n: not supported by this server"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, 400, "tools: not supported"),
        ({"logprobs": True}, 400, "logprobs: not supported"),
        ({"presence_penalty": 0.5}, 400, "presence_penalty: not supported"),
        ({"max_tokens": MOST + 1}, 400, "at most 1500 (serve.writing.max_new_tokens)"),
        ({"max_tokens": 0}, 400, "max_tokens: expected at least 1"),
        ({"temperature": 3}, 400, "temperature: expected at most 2"),
        ({"stop": [""]}, 400, "stop[0]: expected text of at least 1 character"),
        ({"model": "gpt-4o"}, 404, "there is no model 'gpt-4o' here; this server answers for 'shop'"),
        ({"messages": []}, 400, "messages: expected a list of at least 1 item"),
        ({"messages": [{"role": "system", "content": "be kind"}, *said("hello")]}, 400, "a single user message"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 400, "messages"),
        ({"messages": said("x" * 501)}, 413, "at most 500 (serve.limits.characters)"),
        ({"unknown": 1}, 400, "there is no field 'unknown'"),
    ],
)
def test_what_is_not_supported_is_refused_in_one_line_of_openais_form(server, changes, status, message) -> None:
    with server.client() as client:
        body = {"model": "shop", "messages": said(PROMPT), **changes}
        refused = client.post("/v1/chat/completions", json=body)
    assert refused.status_code == status, refused.text
    error = refused.json()["error"]
    assert message in error["message"] and "\n" not in error["message"]
    assert error["type"] == "invalid_request_error" and error.keys() == {"message", "type", "param", "code"}


def test_what_changes_nothing_may_be_sent(client) -> None:
    harmless: dict[str, Any] = {"n": 1, "presence_penalty": 0, "logprobs": False, "tools": [], "store": False}
    parts = [{"role": "user", "content": [{"type": "text", "text": PROMPT}]}]
    plain = client.chat.completions.create(model="shop", messages=said(PROMPT))
    assert client.chat.completions.create(model="shop", messages=parts, **harmless).choices == plain.choices


def test_a_wrong_token_is_refused_as_the_stock_client_expects(server) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError, match="send a token that this server accepts"):
            client.chat.completions.create(model="shop", messages=said(PROMPT))


@pytest.mark.usefixtures("back_to_version_1")
def test_a_stream_says_what_it_would_have_said_when_another_version_is_promoted_in_its_middle(server, client) -> None:
    def stream() -> openai.Stream:
        return client.chat.completions.create(model="shop", messages=said(ENDLESS), max_tokens=MOST, stream=True)

    undisturbed = "".join(chunk.choices[0].delta.content or "" for chunk in stream())
    running, pieces, models = stream(), list[str](), set[str]()
    chunks = iter(running)
    while not any(pieces):
        chunk = next(chunks)
        pieces.append(chunk.choices[0].delta.content or "")
    server.shop.promote("2")
    after = client.chat.completions.create(model="shop", messages=said(ENDLESS), max_tokens=50)
    assert after.model == "shop@2"  # asked after the promotion
    for chunk in chunks:
        models.add(chunk.model)
        pieces.append(chunk.choices[0].delta.content or "")
    assert models == {"shop@1"} and "".join(pieces) == undisturbed
    assert not undisturbed.startswith(after.choices[0].message.content)


@pytest.mark.usefixtures("back_to_version_1")
def test_a_canary_answers_its_share_of_the_users_and_is_compared_on_copies(server, client) -> None:
    server.shop.give("canary", "2", 0.5)
    until(lambda: server.ready()["canary"] == "2", seconds=30)
    texts = {version: predicted(server, version) for version in ("1", "2")}
    versions = {}
    for user in [f"user-{number}" for number in range(12)] * 2:
        answer = client.chat.completions.create(model="shop", messages=said(PROMPT), user=user)
        version = answer.model.removeprefix("shop@")
        assert answer.choices[0].message.content == texts[version]
        assert versions.setdefault(user, version) == version
    assert set(versions.values()) == {"1", "2"}
    folder = server.shop.project.root / ".cl" / "serving" / "comparisons"

    def compared() -> int:
        records = [json.loads(path.read_text()) for path in folder.glob("*.json")] if folder.is_dir() else []
        return sum(part["compared"] for record in records for part in _parts(record))

    until(lambda: compared() == 2 * list(versions.values()).count("2"), seconds=30, what="copies of all answers")


def _parts(record: Any) -> list[dict[str, Any]]:
    """Every object in a record that counts comparisons."""
    if isinstance(record, dict):
        own = [record] if "compared" in record else []
        return own + [part for value in record.values() for part in _parts(value)]
    return [part for value in record for part in _parts(value)] if isinstance(record, list) else []


def test_a_corrected_answer_is_logged_with_its_prompt(server, client) -> None:
    answer = client.chat.completions.create(model="shop", messages=said("is the parcel lost"), user="ben")
    with server.client() as http:
        stored = http.post("/feedback", json={"id": answer.id, "completion": "it is in york"})
    assert stored.status_code == 200, stored.text
    project = server.shop.project
    until(lambda: len(Predictions(project).of([answer.id])) == 1, seconds=30, what="the answer in the log")
    (row,) = Predictions(project).of([answer.id]).to_dict("records")
    assert json.loads(row["inputs"]) == {"prompt": "is the parcel lost"}
    assert row["prediction"] == answer.choices[0].message.content and row["version"] == "1"
    feedback = Feedback(project).last()
    assert feedback.loc[feedback["id"] == answer.id, "answer"].map(json.loads).tolist() == ["it is in york"]


def test_right_answers_and_thumbs_become_rows_of_the_next_experience(server, client) -> None:
    liked = client.chat.completions.create(model="shop", messages=said("where is the new lamp"))
    disliked = client.chat.completions.create(model="shop", messages=said("where is the old lamp"))
    mended = client.completions.create(model="shop", prompt="where is the broken lamp")
    private = client.completions.create(model="shop", prompt="my money is lost")
    with server.client() as http:
        for body in (
            {"id": liked.id, "thumb": "up"},
            {"id": disliked.id, "thumb": "down"},
            {"id": mended.id, "completion": "the lamp is in paris"},
            {"id": private.id, "completion": "ask anna@example.org"},
        ):
            stored = http.post("/feedback", json=body)
            assert stored.status_code == 200, stored.text
        unknown = http.post("/feedback", json={"id": str(uuid.uuid4()), "thumb": "up"})
        assert unknown.status_code == 404 and "the log has no answer" in unknown.json()["message"]
        both = http.post("/feedback", json={"id": liked.id, "thumb": "up", "completion": "x"})
        assert both.status_code == 422 and "exactly one of completion and thumb" in both.json()["message"]
        counted = http.get("/metrics").text
    for thumb in ("up", "down"):
        assert f'cl_thumbs_total{{thumb="{thumb}",version="1"}} 1.0' in counted
    project = server.shop.project
    schema = plugins.build(Task, load(project.config).task).schema
    rows = read_labelled_rows(project, schema, corrections_taken=False).rows.set_index("prompt")["completion"]
    assert rows["where is the new lamp"] == liked.choices[0].message.content
    assert rows["where is the broken lamp"] == "the lamp is in paris"
    assert rows["my money is lost"] == "ask <EMAIL>"
    assert "where is the old lamp" not in rows


def metric(server: Server, name: str) -> float:
    with server.client() as http:
        lines = http.get("/metrics").text.splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(f"{name} ")), 0.0)


def test_a_client_that_does_not_wait_for_a_whole_answer_gets_none_counted(server) -> None:
    rows = 'cl_rows_total{role="champion",version="1"}'
    refused = 'cl_requests_total{route="/v1/chat/completions",status="400"}'
    with server.client() as http:
        before, refused_before = metric(server, rows), metric(server, refused)
        body = {"model": "shop", "messages": said(ENDLESS), "max_tokens": MOST}
        with pytest.raises(httpx.ReadTimeout):
            http.post("/v1/chat/completions", json=body, timeout=0.2)
    until(lambda: metric(server, refused) > refused_before, seconds=60, what="the end of the request")
    assert metric(server, rows) == before


def test_a_client_that_goes_away_frees_its_place_and_its_answer_is_not_logged(server) -> None:
    body = {"model": "shop", "messages": said(ENDLESS), "max_tokens": MOST, "stream": True}
    with server.client() as http, http.stream("POST", "/v1/chat/completions", json=body) as response:
        first = next(response.iter_lines())
        id = json.loads(first.removeprefix("data: "))["id"]
        assert response.headers["x-model-version"] == "1"
        assert response.headers["content-type"].startswith("text/event-stream")
    until(lambda: metric(server, "cl_queue_rows") == 0, seconds=60, what="an empty queue")
    with server.client() as http:
        done = http.post("/v1/chat/completions", json={**body, "stream": False, "max_tokens": 5}).json()
    until(lambda: len(Predictions(server.shop.project).of([done["id"]])) == 1, seconds=30)
    assert Predictions(server.shop.project).of([id]).empty


def test_many_streams_at_once_say_what_each_says_alone(server, client) -> None:
    prompts = [f"{first} {second}" for first in ("pay", "send", "where") for second in ("card", "loan", "fee", "shoe")]
    expected = {prompt: predicted(server, "1", prompt) for prompt in prompts}
    answers: dict[str, str] = {}

    def ask(prompt: str) -> None:
        chunks = client.chat.completions.create(model="shop", messages=said(prompt), stream=True)
        answers[prompt] = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    threads = [threading.Thread(target=ask, args=(prompt,)) for prompt in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == expected


def test_no_request_that_the_schema_allows_or_forbids_breaks_the_server(server, client, tmp_path) -> None:
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"]
    checks = "not_a_server_error,status_code_conformance,content_type_conformance"
    asked = [f"{server.url}/openapi.json", "-H", f"Authorization: Bearer {TOKEN}", "--checks", checks]
    bounds = ["--max-examples", "10", "--seed", "1", "--include-path-regex", "^/(v1|feedback)"]
    done = subprocess.run([*command, *asked, *bounds], capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert client.chat.completions.create(model="shop", messages=said(PROMPT)).choices[0].message.content


def test_the_stream_ends_with_done(server) -> None:
    with server.client() as http:
        body = {"model": "shop", "messages": said(PROMPT), "stream": True}
        text = http.post("/v1/chat/completions", json=body).text
    events = text.split("\n\n")
    assert events[-1] == "" and events[-2] == "data: [DONE]"
    assert all(json.loads(event.removeprefix("data: "))["object"] == "chat.completion.chunk" for event in events[:-2])
