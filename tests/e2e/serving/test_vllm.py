"""`cl serve` with a vLLM server behind it: it follows the registry, and no answer changes its version."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import openai
import pandas as pd
import pytest

from cl.models.generation import write
from cl.models.persistence import load_learner
from tests.support.servers import until
from tests.support.serving_shop import TOKEN, Server, serving
from tests.support.vllm_stand_in import StandIn, running
from tests.support.writing_shop import made_writing_shop

PROMPT, ENDLESS = "please help me", "the old box is broken"
"""The champion's answer to the second does not end by itself."""


@dataclass
class Pair:
    """`cl serve`, and the server behind it."""

    server: Server
    vllm: StandIn

    def predicted(self, version: str, prompt: str = PROMPT) -> str:
        """What `cl predict` says without a server."""
        learner = load_learner(self.server.shop.stores.champion_folder(version))
        return write(learner, learner.encode(pd.DataFrame({"prompt": [prompt]})))[0].value


@pytest.fixture
def pair(tmp_path: Path, tiny_model: Path) -> Iterator[Pair]:
    base = tmp_path / "shop-base"
    shop = made_writing_shop(tmp_path / "shop", tiny_model, versions=(1, 2, 3, 4), serve={})
    stand_in = StandIn(base, base)
    engine = {"name": "vllm", "url": stand_in.url}
    shop.configure(
        tokens="env:SHOP_TOKENS", poll_seconds=0.1, drain_seconds=0.2, keep_versions=1, engine=engine,
    )  # fmt: skip
    shop.promote("1")
    with running(stand_in), serving(shop) as server:
        server.champion_is("1")
        yield Pair(server, stand_in)


@pytest.fixture
def client(pair: Pair) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{pair.server.url}/v1", api_key=TOKEN, max_retries=0, timeout=60) as client:
        yield client


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_promotions_and_a_rollback_move_the_adapters_and_every_stream_keeps_its_version(pair, client) -> None:
    server, vllm = pair.server, pair.vllm
    vllm.seconds_per_token = 0.002
    texts = {version: pair.predicted(version, ENDLESS) for version in "1234"}
    wrong, done, stop = list[str](), list[str](), threading.Event()

    def stream() -> None:
        while not stop.is_set():
            chunks = list(client.chat.completions.create(model="shop", messages=said(ENDLESS), stream=True))
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
            (model,) = {chunk.model for chunk in chunks}
            done.append(model)
            if text != texts[model.removeprefix("shop@")]:
                wrong.append(f"{model}: {text}")

    threads = [threading.Thread(target=stream) for _ in range(6)]
    for thread in threads:
        thread.start()
    for version in "234":
        server.shop.promote(version)
        server.champion_is(version)
        seen = len(done)
        until(lambda seen=seen: len(done) >= seen + 8, seconds=60, what="further answers")
    assert server.shop.roll_back() == "3"
    server.champion_is("3")
    seen = len(done)
    until(lambda seen=seen: len(done) >= seen + 8, seconds=60, what="further answers")
    stop.set()
    for thread in threads:
        thread.join(60)
    assert not wrong and {f"shop@{version}" for version in "1234"} == set(done)
    assert client.chat.completions.create(model="shop", messages=said(ENDLESS)).choices[0].message.content == texts["3"]
    until(lambda: sorted(vllm.adapters) == ["shop@3", "shop@4"], seconds=30, what="unloaded versions")
    folder = server.shop.project.work / "adapters"
    assert sorted(path.name.split("-")[0] for path in folder.iterdir()) == ["shop@3", "shop@4"]


def test_predict_a_canary_and_a_stop_string_work_as_without_it(pair, client) -> None:
    server = pair.server
    with server.client() as http:
        rows = http.post("/predict", json={"texts": [PROMPT, ENDLESS]}).json()["predictions"]
    assert [row["completion"] for row in rows] == [pair.predicted("1"), pair.predicted("1", ENDLESS)]
    server.shop.give("canary", "2", 0.5)
    until(lambda: server.ready()["canary"] == "2", seconds=30)
    models = {
        client.chat.completions.create(model="shop", messages=said(PROMPT), user=f"user-{number}").model
        for number in range(12)
    }
    assert models == {"shop@1", "shop@2"}
    whole = client.completions.create(model="shop", prompt=ENDLESS, max_tokens=30)
    word = whole.choices[0].text.split()[5]
    cut = client.completions.create(model="shop", prompt=ENDLESS, max_tokens=30, stop=f" {word}")
    assert cut.choices[0].finish_reason == "stop" and whole.usage.completion_tokens == 30
    assert whole.choices[0].text.startswith(cut.choices[0].text) and cut.usage.completion_tokens < 30


def test_a_restarted_vllm_server_gets_its_adapters_back(pair, client) -> None:
    pair.vllm.restart()
    answer = client.chat.completions.create(model="shop", messages=said(PROMPT))
    assert answer.choices[0].message.content == pair.predicted("1")


def test_a_version_that_vllm_answers_otherwise_never_serves(pair, client) -> None:
    server = pair.server
    pair.vllm.answers_as_base = True
    server.shop.promote("2")
    until(lambda: "answers as its base alone would" in server.log(), seconds=60, what="the refusal in the log")
    pair.vllm.answers_as_base = False
    assert server.ready()["champion"] == "1"
    answer = client.chat.completions.create(model="shop", messages=said(PROMPT))
    assert answer.model == "shop@1" and answer.choices[0].message.content == pair.predicted("1")
