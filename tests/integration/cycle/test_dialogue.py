"""A project that answers in conversations, through its whole life, with a tiny model that has a chat template."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoTokenizer

import cl
from cl import config as configuration
from cl.commands.reproduce import reproduce_version
from cl.config import parse
from cl.ingestion.sources.serving import read_labelled_rows
from cl.lifecycle import run_waiting
from cl.serving.app import create_app
from cl.serving.worker import ServingWorker
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import open_stores
from cl.tasks.dialogue import Dialogue
from tests.support.templates import copied
from tests.support.tiny import made_tiny_writer, tiny_project

CHAT = (
    "{% for message in messages %}{{ 'to' if message.role == 'assistant' else 'from' }} {{ message.content }}"
    "{% if message.role == 'assistant' %} [SEP]{% endif %} {% endfor %}"
    "{% if add_generation_prompt %}to {% endif %}"
)
pytestmark = pytest.mark.timeout(240)  # the first test waits for two cycles
LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def talks(words: list[str], rows: int, *, seed: int) -> list[dict[str, Any]]:
    """Conversations as services for fine-tuning take them: the last turn is the answer, which names the thing."""
    rng = np.random.default_rng(seed)
    made = []
    for row in range(rows):
        thing = words[row % len(words)]
        turns = [
            ("user", "please help"),
            ("assistant", "where is the old box"),
            ("user", " ".join([*rng.choice(["please", "the", "is", "where", "old"], size=3), thing])),
            ("assistant", f"my {thing} is lost"),
        ]
        messages = [{"role": role, "content": content} for role, content in turns]
        made.append({"id": f"r{seed}-{row}", "messages": messages})
    return made


def asked(last: str) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": "please help"},
        {"role": "assistant", "content": "where is the old box"},
        {"role": "user", "content": last},
    ]


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def chatting(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = made_tiny_writer(tmp_path_factory.mktemp("chatting") / "model", tiny_model)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def learned_twice(chatting: Path, tmp_path_factory: pytest.TempPathFactory) -> ProjectFolder:
    """A project after two cycles; copy it: nobody may change it."""
    torch.set_num_threads(1)
    raw: dict[str, Any] = {
        "task": {"name": "dialogue", "max_new_tokens": 6},
        "model": {
            "name": str(chatting),
            "max_length": 48,
            "tuning": {"name": "lora", "rank": 16, "learning_rate": 0.01, "targets": LAYERS},
        },
        "training": {"epochs": 40, "patience": 40, "batch_size": 8, "precision": "float32"},
        "evaluation": {"smoke_rows": 4, "latency_calls": 1, "throughput_rows": 2},
        "gates": [{"name": "floor", "min": 0.8}, {"name": "forgetting", "max": 0.2}],
    }
    project = tiny_project(tmp_path_factory.mktemp("talked") / "shop", chatting, **raw)
    for name, words, seed in (("one", ["card", "parcel"], 1), ("two", ["loan", "fee"], 2)):
        lines = map(json.dumps, talks(words, 60, seed=seed))
        (project.root / "inbox" / f"{name}.jsonl").write_text("\n".join(lines))
        (cycle,) = run_waiting(project)
        assert cycle.verdict == "promoted", cycle.gates
        assert cycle.evaluation is not None and cycle.evaluation.metric == "chrf"
    return project


@pytest.fixture
def project(learned_twice: ProjectFolder, tmp_path: Path) -> ProjectFolder:
    return copied(learned_twice, tmp_path / "shop")


def test_what_two_cycles_have_taught_is_answered_and_a_version_is_made_again_to_the_bit(project) -> None:
    shop = cl.Project.open(project.root)
    answers = shop.predict(
        [json.dumps({"messages": asked(last)}) for last in ("please the old card", "where is the loan")]
    )
    assert list(answers["prediction"]) == ["my card is lost", "my loan is lost"]
    result = reproduce_version(project.root, "2")
    assert result.identical and result.compared >= 3, result.apart


def test_conversations_are_answered_by_the_server_and_the_right_answers_become_rows(project) -> None:
    seen: dict[str, Any] = {}

    async def ask() -> None:
        config = configuration.load(project.config)
        worker = ServingWorker(config, open_stores(project, config))
        worker.draining.arm = lambda loop: None  # type: ignore[method-assign]  # it is pytest that signals stop
        await worker.start()
        try:
            transport = httpx.ASGITransport(app=create_app(worker, listens_on="127.0.0.1"))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                body = {"inputs": [{"messages": asked("please the old card")}]}
                seen["answers"] = (await client.post("/predict", json=body)).json()
                wrong = {"input": {"messages": [{"role": "human", "content": "hi"}]}}
                seen["wrong"] = (await client.post("/predict", json=wrong)).status_code
                chat = {"model": config.name, "messages": asked("please the old card")}
                seen["chat"] = (await client.post("/v1/chat/completions", json=chat)).json()
                chat["messages"] = [
                    {"role": turn["role"], "content": [{"type": "text", "text": turn["content"]}]}
                    for turn in asked("is the old fee")
                ]
                seen["parts"] = (await client.post("/v1/chat/completions", json=chat)).json()
                chat["messages"] = asked("please the old card")[:2]
                seen["unasked"] = await client.post("/v1/chat/completions", json=chat)
                seen["prompt"] = await client.post("/v1/completions", json={"model": config.name, "prompt": "a card"})
                id = seen["answers"]["predictions"][0]["id"]
                seen["feedback"] = await client.post("/feedback", json={"id": id, "completion": "your card is new"})
        finally:
            await worker.stop()

    asyncio.run(ask())
    assert [answer["completion"] for answer in seen["answers"]["predictions"]] == ["my card is lost"]
    assert seen["wrong"] == 422
    assert seen["chat"]["choices"][0]["message"]["content"] == "my card is lost"
    assert seen["parts"]["choices"][0]["message"]["content"] == "my fee is lost"
    assert seen["unasked"].status_code == 400 and "end with one of role 'user'" in seen["unasked"].text
    assert seen["prompt"].status_code == 400 and "send them to /predict" in seen["prompt"].text
    assert seen["feedback"].status_code == 200, seen["feedback"].text
    labelled = read_labelled_rows(project, Dialogue.schema, corrections_taken=False)
    (row,) = labelled.new.to_dict("records")
    assert row["completion"] == "your card is new" and row["messages"] == asked("please the old card")


def test_a_stream_is_replayed(project, tmp_path) -> None:
    raw = configuration.load(project.config).model_dump(mode="json", by_alias=True)
    raw["training"] |= {"epochs": 1, "patience": 1}
    config = parse(raw, where="test")
    stream = {"a": pd.DataFrame(talks(["card", "fee"], 40, seed=3)), "b": pd.DataFrame(talks(["box"], 40, seed=4))}
    (result,) = cl.backtest(config, stream, strategies=["replay"], out=tmp_path / "backtest", jobs=1)
    assert 0 <= max(result.accuracy_over_time) <= 1


def test_what_is_no_conversation_is_set_aside_by_name(project) -> None:
    rows = pd.DataFrame(talks(["box", "lamp"], 40, seed=5))
    rows["messages"] = rows["messages"].map(json.dumps)  # as in CSV
    broken = {
        3: ("{no json", "messages: no list of turns with role and content"),
        4: ('[{"role": "human", "content": "hi"}]', "messages: a role that is not system, user or assistant"),
        5: ('[{"role": "user", "content": " "}]', "messages: a turn without content"),
        6: ('[{"role": "assistant", "content": "hi"}]', "messages: no turn of the user"),
        7: ('[{"role": "user", "content": "hi"}]', "missing completion"),
        8: (None, "missing messages"),
    }
    for row, (cell, _) in broken.items():
        rows.loc[row, "messages"] = cell
    shop = cl.Project.open(project.root)
    (experience,) = shop.ingest(rows)
    assert experience.quarantined_rows == len(broken)
    config = configuration.load(project.config)
    aside = open_stores(project, config).experiences.quarantined(experience.id)
    assert dict(zip(aside["id"], aside["reason"], strict=True)) == {
        f"r5-{row}": reason for row, (_, reason) in broken.items()
    }


@pytest.fixture
def agent(project) -> Any:
    """The champion as stock MLflow loads it, without traces of what it is asked."""
    import mlflow

    with open_stores(project, configuration.load(project.config)).registry.runs.tracking():
        mlflow.tracing.disable()
        try:
            yield mlflow.pyfunc.load_model("models:/shop/2")
        finally:
            mlflow.tracing.enable()


def test_stock_mlflow_loads_a_version_as_an_agent_that_answers_and_streams_as_predict_does(project, agent) -> None:
    assert not list(project.root.rglob("*.pkl"))
    assert type(agent.get_raw_model()).__name__ == "ConversingModel"
    assert agent.metadata.metadata["task"] == "agent/v1/responses"
    lasts = ("please the old card", "where is the loan", "is old the parcel")
    expected = cl.Project.open(project.root).predict([json.dumps({"messages": asked(last)}) for last in lasts])
    for last, answer, confidence in zip(lasts, expected["prediction"], expected["confidence"], strict=True):
        response = agent.predict({"input": asked(last)})
        (item,) = response["output"]
        assert item["role"] == "assistant" and item["content"] == [{"type": "output_text", "text": answer, **NO_NOTES}]
        assert response["custom_outputs"]["confidence"] == pytest.approx(confidence, abs=1e-4)
        *deltas, done = agent.predict_stream({"input": asked(last)})
        assert "".join(event["delta"] for event in deltas) == answer and len(deltas) > 1
        assert {event["type"] for event in deltas} == {"response.output_text.delta"}
        assert done["type"] == "response.output_item.done" and done["item"]["content"][0]["text"] == answer
        assert {event["item_id"] for event in deltas} == {done["item"]["id"]}


NO_NOTES: dict[str, Any] = {"annotations": []}


def test_turns_may_have_parts_and_what_is_no_conversation_is_refused_in_a_line(agent) -> None:
    from mlflow.exceptions import MlflowException

    parts = [{"role": "user", "content": [{"type": "input_text", "text": "please the old card"}]}]
    plain = agent.predict({"input": [{"role": "user", "content": "please the old card"}]})
    assert agent.predict({"input": parts})["output"][0]["content"] == plain["output"][0]["content"]
    output = {"type": "function_call_output", "call_id": "c1", "output": "42"}
    for turns, why in (
        ([], "no turn of the user"),
        ([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}], "ends with a turn of the assi"),
        ([{"role": "user", "content": "hi"}, output], "is no turn but 'function_call_output'"),
    ):
        for ask in (agent.predict, lambda request: list(agent.predict_stream(request))):
            with pytest.raises(MlflowException, match=why):
                ask({"input": turns})


def test_mlflows_own_server_answers_invocations_of_an_agent(agent) -> None:
    from fastapi.testclient import TestClient
    from mlflow.pyfunc.scoring_server import init

    with TestClient(init(agent)) as client:
        answer = client.post("/invocations", json={"input": asked("please the old card")})
        refused = client.post("/invocations", json={"input": []})
    assert answer.status_code == 200 and answer.json()["output"][0]["content"][0]["text"] == "my card is lost"
    assert refused.status_code == 400 and "no turn of the user" in refused.json()["message"]
