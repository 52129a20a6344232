"""The engine on a vLLM server: versions are loaded, checked, brought back, unloaded, and answer as here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cl.config import parse
from cl.config.serving import Batching, EngineSettings, Writing
from cl.errors import ConfigError, UnservableError
from cl.models.decoding import Decoding
from cl.models.generation import write
from cl.models.grammar import AnswerForm
from cl.models.persistence import load_learner
from cl.models.probes import load_probes, save_probes
from cl.serving.served_model import ServedModel
from cl.serving.traffic_split import TrafficSplit
from cl.serving.vllm.client import UnreachableError, VllmClient
from cl.serving.vllm.engine import VllmEngine
from cl.serving.vllm.versions import VllmVersions
from cl.serving.writing.groups import TimeLimitError
from tests.support.tiny import made_tiny_writer
from tests.support.vllm_stand_in import StandIn, running
from tests.support.writing_shop import POSITIONS, save_writer

PROMPTS = ["where is my card", "please help me", "the old box is broken", "pay", "send the new shoe back to york"]
GREEDY = Decoding()
ENDLESS = PROMPTS[2]
LONG = Decoding(max_new_tokens=3_000)


@dataclass
class Shop:
    """Two versions over one base, and a server that runs the base."""

    folders: dict[str, Path]
    server: StandIn
    versions: VllmVersions
    client: VllmClient

    def load(self, version: str) -> ServedModel:
        return self.versions.load(version, self.folders[version])

    @asynccontextmanager
    async def engine(self, roles: Callable[[], TrafficSplit], **limits: float) -> AsyncIterator[VllmEngine]:
        client = VllmClient(EngineSettings(name="vllm", url=self.server.url))
        engine = VllmEngine(roles, Batching(), Writing(**limits), client, self.versions)
        work = asyncio.ensure_future(engine.run())
        try:
            yield engine
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await asyncio.to_thread(engine.close)


@pytest.fixture(scope="module")
def folders(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("vllm")
    base = made_tiny_writer(root / "base", tiny_model, positions=POSITIONS)
    raw = {
        "task": {"name": "text_generation", "max_new_tokens": 12},
        "model": {"name": str(base), "max_length": 64, "dropout": 0.0},
    }
    config = parse(raw, where="test")
    return {"base": base, **{name: save_writer(config, root / name, seed=int(name)) for name in ("1", "2")}}


@pytest.fixture
def shop(folders: dict[str, Path], tmp_path: Path) -> Iterator[Shop]:
    with running(StandIn(folders["base"], folders["base"])) as server:
        settings = EngineSettings(name="vllm", url=server.url)
        client = VllmClient(settings)
        yield Shop(folders, server, VllmVersions(client, settings, project="shop", root=tmp_path), client)
        client.close()


def plain_answers(folder: Path) -> list[str]:
    """What `cl predict` says."""
    learner = load_learner(folder)
    return [answer.value for answer in write(learner, learner.encode(learner.task.schema.frame(PROMPTS)))]


async def text_of(engine: VllmEngine, prompt: str, role: str = "champion", decoding: Decoding = GREEDY) -> str:
    opened = await engine.write(prompt, role, decoding)
    await opened.begin()
    return "".join([piece async for piece in opened.pieces()])


def test_two_versions_on_one_server_say_what_cl_predict_says(shop: Shop) -> None:
    roles = TrafficSplit(shop.load("1"), shop.load("2"), 0.5)
    assert sorted(shop.server.adapters) == ["shop@1", "shop@2"]

    async def ask() -> tuple[list[str], list[str], list[str]]:
        async with shop.engine(lambda: roles) as engine:
            streams = [text_of(engine, prompt, role) for prompt in PROMPTS for role in ("champion", "canary")]
            written = await asyncio.gather(*streams)
            answered = await engine.answer(PROMPTS, "champion")
            copied = await engine.copy(PROMPTS, roles.canary)
            assert all(0 < answer.confidence <= 1 for answer in answered.answers) and answered.seconds > 0
            assert engine.waiting == 0
            return written, *([answer.value for answer in side.answers] for side in (answered, copied))

    written, answered, copied = asyncio.run(ask())
    assert written[::2] == answered == plain_answers(shop.folders["1"])
    assert written[1::2] == copied == plain_answers(shop.folders["2"]) != answered


def test_confidence_is_what_cl_predict_says(shop: Shop) -> None:
    learner = load_learner(shop.folders["1"])
    expected = [answer.confidence for answer in write(learner, learner.encode(learner.task.schema.frame(PROMPTS)))]
    roles = TrafficSplit(shop.load("1"))

    async def ask() -> list[float]:
        async with shop.engine(lambda: roles) as engine:
            return [answer.confidence for answer in (await engine.answer(PROMPTS, "champion")).answers]

    assert asyncio.run(ask()) == pytest.approx(expected, rel=1e-4)


def test_a_server_that_leaves_the_adapter_out_is_found_out(shop: Shop) -> None:
    shop.server.answers_as_base = True
    with pytest.raises(UnservableError, match="version 1: the vLLM server answers as its base alone would"):
        shop.load("1")
    assert shop.server.adapters == {}, "what failed its check must not stay loaded"


def test_a_server_with_another_base_is_found_out(shop: Shop, tiny_model: Path, tmp_path: Path) -> None:
    import torch

    with torch.no_grad():
        for parameter in shop.server.model.parameters():
            parameter.mul_(1.7)
    with pytest.raises(UnservableError, match="answers as another model would: the tokens"):
        shop.load("1")


def test_an_adapter_that_the_server_has_under_the_name_but_from_elsewhere_is_replaced(shop: Shop) -> None:
    first = shop.load("2")
    shop.server.adapters["shop@1"] = shop.server.adapters.pop("shop@2")
    shop.versions._paths.pop("2")
    loaded = shop.load("1")
    assert loaded.version == "1" and first.version == "2"
    assert "shop@1-" in shop.server.adapters["shop@1"]


def test_what_an_earlier_process_left_is_unloaded(shop: Shop) -> None:
    adapter = _adapter_of(shop, "2")
    shop.server.load("other", str(adapter))
    shop.server.adapters["shop@41"] = "/gone"
    shop.load("1")
    assert sorted(shop.server.adapters) == ["other", "shop@1"]
    assert [path.name.split("-")[0] for path in adapter.parent.iterdir()] == ["shop@1"]


def test_a_released_version_is_unloaded_after_its_last_answer(shop: Shop) -> None:
    loaded = shop.load("1")
    folder = Path(shop.server.adapters["shop@1"])
    shop.server.seconds_per_token = 0.01

    async def ask() -> str:
        async with shop.engine(lambda: TrafficSplit(loaded)) as engine:
            opened = await engine.write(ENDLESS, "champion", Decoding(max_new_tokens=40))
            await opened.begin()
            await asyncio.to_thread(shop.versions.release, "1")
            assert "shop@1" in shop.server.adapters and folder.exists(), "it still answers"
            text = "".join([piece async for piece in opened.pieces()])
            for _ in range(200):
                if "shop@1" not in shop.server.adapters:
                    break
                await asyncio.sleep(0.02)
            return text

    assert len(asyncio.run(ask()).split()) > 20
    assert shop.server.adapters == {} and not folder.exists()


def test_versions_that_the_server_lost_are_loaded_again(shop: Shop) -> None:
    roles = TrafficSplit(shop.load("1"))

    async def ask() -> list[str]:
        async with shop.engine(lambda: roles) as engine:
            shop.server.restart()
            return await asyncio.gather(*(text_of(engine, prompt) for prompt in PROMPTS))

    assert asyncio.run(ask()) == plain_answers(shop.folders["1"])
    assert list(shop.server.adapters) == ["shop@1"]


def test_a_server_that_is_gone_is_named_and_asked_again(shop: Shop) -> None:
    roles = TrafficSplit(shop.load("1"))
    gone = StandIn(shop.folders["base"], shop.folders["base"])

    async def ask() -> None:
        engine = VllmEngine(
            lambda: roles, Batching(), Writing(), VllmClient(EngineSettings(name="vllm", url=gone.url)), shop.versions
        )
        with pytest.raises(UnreachableError, match=rf"the vLLM server at {gone.url} does not answer"):
            await engine.answer(PROMPTS[:2], "champion")
        with running(gone):
            gone.load("shop@1", shop.server.adapters["shop@1"])
            answered = await engine.answer(PROMPTS[:2], "champion")
            assert [answer.value for answer in answered.answers] == plain_answers(shop.folders["1"])[:2]
        await engine._client.aclose()
        await asyncio.to_thread(engine.close)

    asyncio.run(ask())


def test_an_answer_ends_before_a_stop_string_at_its_limit_and_at_its_time(shop: Shop) -> None:
    roles = TrafficSplit(shop.load("1"))

    async def ask() -> tuple[str, str, str, str]:
        async with shop.engine(lambda: roles) as engine:
            whole = await text_of(engine, ENDLESS, decoding=Decoding(max_new_tokens=30))
            word = whole.split()[6]
            stopped = await text_of(engine, ENDLESS, decoding=Decoding(max_new_tokens=30, stop=(f" {word}",)))
        shop.server.seconds_per_token = 0.05
        async with shop.engine(lambda: roles, seconds=0.6) as engine:
            opened = await engine.write(ENDLESS, "champion", LONG)
            await opened.begin()
            cut = "".join([piece async for piece in opened.pieces()])
            assert opened.row.finish == "length"
            with pytest.raises(TimeLimitError):
                await engine.answer([ENDLESS] * 30, "champion")
        return whole, word, stopped, cut

    whole, word, stopped, cut = asyncio.run(ask())
    assert stopped == whole[: whole.index(f" {word}")].rstrip()
    length = min(len(cut), len(whole))
    assert length > 10 and cut[:length] == whole[:length]


def test_a_client_that_goes_away_ends_the_answer_on_the_server(shop: Shop) -> None:
    roles = TrafficSplit(shop.load("1"))
    shop.server.seconds_per_token = 0.02

    async def ask() -> int:
        async with shop.engine(lambda: roles) as engine:
            opened = await engine.write(ENDLESS, "champion", LONG)
            await opened.begin()
            assert engine.waiting == 1 and shop.server.streams == 1
            opened.close()
            for _ in range(200):
                if not shop.server.streams and not engine.waiting:
                    break
                await asyncio.sleep(0.02)
            return engine.waiting

    assert asyncio.run(ask()) == 0 and shop.server.streams == 0


def test_forms_and_sampling_are_passed_on(shop: Shop) -> None:
    roles = TrafficSplit(shop.load("1"))

    async def ask() -> str:
        async with shop.engine(lambda: roles) as engine:
            opened = await engine.write(
                PROMPTS[0], "champion", Decoding(temperature=0.7, top_p=0.9, seed=5), AnswerForm(choices=("pay", "box"))
            )
            await opened.begin()
            return "".join([piece async for piece in opened.pieces()])

    assert asyncio.run(ask()) == "pay"
    body = shop.server.bodies[-1]
    assert body["structured_outputs"] == {"choice": ["pay", "box"]} and body["seed"] == 5
    assert (body["temperature"], body["top_p"], body["repetition_penalty"]) == (0.7, 0.9, 1.0)


def test_a_server_that_is_too_short_for_a_prompt_is_refused(shop: Shop) -> None:
    shop.server.longest = 64
    with pytest.raises(UnservableError, match="start it with --max-model-len above 64"):
        shop.load("1")


def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"serve.engine.key: the environment variable VLLM_KEY holds no key"):
        VllmClient(EngineSettings(name="vllm", key="env:VLLM_KEY"))


def test_a_probe_of_another_version_is_not_answered(shop: Shop, tmp_path: Path) -> None:
    """Probes do tell two versions of one base apart."""
    import shutil

    mixed = tmp_path / "mixed"
    shutil.copytree(shop.folders["1"], mixed)
    save_probes(load_probes(shop.folders["2"]), mixed)
    with pytest.raises(UnservableError, match="version 1: the vLLM server answers as another model would"):
        shop.versions.load("1", mixed)


def _adapter_of(shop: Shop, version: str) -> Path:
    """Write a version's adapter as the engine does, and return its folder."""
    shop.load(version)
    path = Path(shop.server.adapters.pop(f"shop@{version}"))
    shop.versions._paths.pop(version)
    return path
