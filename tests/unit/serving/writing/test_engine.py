"""The engine: requests share steps, no answer changes its version, and what nobody waits for frees its place."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import torch

from cl.config import parse
from cl.config.serving import Batching, Writing
from cl.errors import UnservableError
from cl.models.decoding import Decoding
from cl.models.generation import write
from cl.models.persistence import load_learner
from cl.serving.batching.batcher import InferenceError, QueueFullError
from cl.serving.served_model import ServedModel, load_served_model
from cl.serving.traffic_split import TrafficSplit
from cl.serving.writing.engine import WritingEngine
from cl.serving.writing.groups import TimeLimitError
from cl.serving.writing.shared_bases import SharedBases
from tests.support.tiny import made_tiny_writer
from tests.support.writing_shop import POSITIONS, save_writer

PROMPTS = ["where is my card", "please help me", "the old box is broken", "pay", "send the new shoe back to york"]
GREEDY = Decoding()
ENDLESS = PROMPTS[2]
"""Neither version ends its answer to it."""
LONG = Decoding(max_new_tokens=3_000)


@pytest.fixture(scope="module")
def folders(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of two versions over one base."""
    root = tmp_path_factory.mktemp("engine")
    base = made_tiny_writer(root / "base", tiny_model, positions=POSITIONS)
    raw = {
        "task": {"name": "text_generation", "max_new_tokens": 12},
        "model": {"name": str(base), "max_length": 64, "dropout": 0.0},
    }
    config = parse(raw, where="test")
    return {name: save_writer(config, root / name, seed=int(name)) for name in ("1", "2")}


@pytest.fixture
def versions(folders: dict[str, Path]) -> dict[str, ServedModel]:
    bases = SharedBases()
    return {name: load_served_model(name, folder, "float32", bases) for name, folder in folders.items()}


def plain_answers(folder: Path) -> list[str]:
    """What `cl predict` says."""
    learner = load_learner(folder)
    rows = learner.encode(learner.task.schema.frame(PROMPTS))
    return [answer.value for answer in write(learner, rows)]


@asynccontextmanager
async def running(roles: Callable[[], TrafficSplit], **options: object) -> Iterator[WritingEngine]:
    limits = {"settings": Batching(**options.pop("batch", {})), "limits": Writing(**options.pop("writing", {}))}
    engine = WritingEngine(roles, on_batch=options.pop("on_batch", lambda rows: None), **limits, **options)
    work = asyncio.ensure_future(engine.run())
    try:
        yield engine
    finally:
        work.cancel()
        await asyncio.to_thread(engine.close)


async def text_of(engine: WritingEngine, prompt: str, role: str = "champion", decoding: Decoding = GREEDY) -> str:
    opened = await engine.write(prompt, role, decoding)
    await opened.begin()
    return "".join([piece async for piece in opened.pieces()])


def test_streams_of_two_versions_share_steps_and_say_what_cl_predict_says(versions, folders) -> None:
    assert versions["1"].learner.encoder is versions["2"].learner.encoder
    roles, sizes = TrafficSplit(versions["1"], versions["2"], 0.5), list[int]()

    async def ask() -> list[str]:
        async with running(lambda: roles, on_batch=sizes.append) as engine:
            streams = [text_of(engine, prompt, role) for prompt in PROMPTS for role in ("champion", "canary")]
            return await asyncio.gather(*streams)

    answers = asyncio.run(ask())
    assert answers[::2] == plain_answers(folders["1"])
    assert answers[1::2] == plain_answers(folders["2"]) != answers[::2]
    assert max(sizes) == 2 * len(PROMPTS)


def test_rows_of_predict_and_copies_are_written_like_streams(versions, folders) -> None:
    roles = TrafficSplit(versions["1"])

    async def ask() -> tuple[list[str], list[str]]:
        async with running(lambda: roles, batch={"rows": 3}) as engine:
            answered, copied = await asyncio.gather(
                engine.answer(PROMPTS, "champion"), engine.copy(PROMPTS, versions["2"])
            )
            assert answered.loaded is versions["1"] and copied.loaded is versions["2"]
            assert all(0 < answer.confidence <= 1 for answer in answered.answers)
            return [[answer.value for answer in side.answers] for side in (answered, copied)]

    assert asyncio.run(ask()) == [plain_answers(folders["1"]), plain_answers(folders["2"])]


def test_a_stream_keeps_its_version_when_another_is_promoted(versions) -> None:
    state = {"roles": TrafficSplit(versions["1"])}

    async def ask() -> tuple[str, str, str]:
        async with running(lambda: state["roles"]) as engine:
            undisturbed = await text_of(engine, ENDLESS, decoding=Decoding(max_new_tokens=300))
            opened = await engine.write(ENDLESS, "champion", Decoding(max_new_tokens=300))
            await opened.begin()
            state["roles"] = TrafficSplit(versions["2"])
            after = await text_of(engine, ENDLESS, decoding=Decoding(max_new_tokens=300))
            assert opened.request.future.done() or opened.request.loaded is versions["1"]
            return undisturbed, "".join([piece async for piece in opened.pieces()]), after

    undisturbed, through, after = asyncio.run(ask())
    assert undisturbed == through != after


def test_a_request_that_came_after_a_promotion_is_answered_by_the_new_champion(versions, folders) -> None:
    state = {"roles": TrafficSplit(versions["1"])}

    async def until(version: str, asked: float) -> float:
        if version == "1":  # the registry names version 2 by now
            state["roles"] = TrafficSplit(versions["2"])
            return asked - 1
        return math.inf

    async def ask() -> str:
        async with running(lambda: state["roles"], until=until) as engine:
            return await text_of(engine, PROMPTS[0])

    assert asyncio.run(ask()) == plain_answers(folders["2"])[0]


def test_a_stream_that_is_closed_frees_its_place(versions, folders) -> None:
    async def ask() -> tuple[int, str]:
        async with running(lambda: TrafficSplit(versions["1"]), batch={"rows": 1}) as engine:
            opened = await engine.write(ENDLESS, "champion", LONG)
            await opened.begin()
            waits = asyncio.ensure_future(text_of(engine, PROMPTS[1]))
            await asyncio.sleep(0)
            opened.close()
            answer = await waits
            assert engine.waiting == 0
            return len(opened.row.tokens), answer

    written, answer = asyncio.run(ask())
    assert written < 3_000 and answer == plain_answers(folders["1"])[1]


def test_an_answer_whose_time_is_over_ends_where_it_is_and_predict_refuses_it(versions) -> None:
    async def ask() -> None:
        async with running(lambda: TrafficSplit(versions["1"]), writing={"seconds": 0.2}) as engine:
            opened = await engine.write(ENDLESS, "champion", LONG)
            await opened.begin()
            assert "".join([piece async for piece in opened.pieces()])
            assert opened.row.finish == "length" and len(opened.row.tokens) < 3_000
        async with running(lambda: TrafficSplit(versions["1"]), writing={"seconds": 1e-6}) as engine:
            with pytest.raises(TimeLimitError, match=r"serve\.writing\.seconds"):
                await engine.answer(PROMPTS, "champion")

    asyncio.run(ask())


def test_a_full_queue_refuses_a_request(versions) -> None:
    async def ask() -> None:
        async with running(lambda: TrafficSplit(versions["1"]), batch={"rows": 1, "queue_rows": 2}) as engine:
            opened = [await engine.write(ENDLESS, "champion", LONG) for _ in range(2)]
            with pytest.raises(QueueFullError):
                await engine.write(PROMPTS[1], "champion", Decoding())
            for stream in opened:
                stream.close()

    asyncio.run(ask())


def damaged(served: ServedModel) -> ServedModel:
    """The version after its update was damaged in memory."""
    assert served.update is not None
    for part in next(iter(served.update.layers.values())):
        part.up.data.fill_(math.nan)
    return served


def test_what_a_damaged_canary_cannot_answer_the_champion_answers(versions, folders) -> None:
    roles = TrafficSplit(versions["1"], damaged(versions["2"]), 0.5)

    async def ask() -> None:
        async with running(lambda: roles) as engine:
            answered, others = await asyncio.gather(
                engine.answer(PROMPTS, "canary"), engine.answer(PROMPTS, "champion")
            )
            for side in (answered, others):
                assert [answer.value for answer in side.answers] == plain_answers(folders["1"])
            assert (answered.role, answered.failed, others.failed) == ("champion", "2", None)

    asyncio.run(ask())


def test_a_damaged_champion_answers_nothing_and_the_engine_lives_on(versions, folders) -> None:
    state = {"roles": TrafficSplit(damaged(versions["2"]))}

    async def ask() -> str:
        async with running(lambda: state["roles"]) as engine:
            with pytest.raises(InferenceError, match="not finite"):
                await engine.answer(PROMPTS[:1], "champion")
            with pytest.raises(InferenceError, match="not finite"):
                await text_of(engine, PROMPTS[0])
            state["roles"] = TrafficSplit(versions["1"])
            return await text_of(engine, PROMPTS[0])

    assert asyncio.run(ask()) == plain_answers(folders["1"])[0]


def test_a_version_whose_weights_are_damaged_is_not_loaded(folders, tmp_path) -> None:
    learner = load_learner(folders["1"])
    with torch.no_grad():
        for parameter in learner.tuning.moving(learner.encoder):
            parameter.fill_(math.nan)
    from cl.models.persistence import save_learner

    (tmp_path / "version").mkdir()
    save_learner(learner, tmp_path / "version")
    with pytest.raises(UnservableError):
        load_served_model("1", tmp_path / "version", "float32")


def test_what_is_drawn_by_a_seed_does_not_depend_on_its_company(versions) -> None:
    drawn = Decoding(temperature=1.0, seed=7, max_new_tokens=20)

    async def ask() -> list[str]:
        async with running(lambda: TrafficSplit(versions["1"])) as engine:
            alone = await text_of(engine, PROMPTS[0], decoding=drawn)
            company: list[Awaitable[str]] = [text_of(engine, prompt) for prompt in PROMPTS]
            together, *_ = await asyncio.gather(text_of(engine, PROMPTS[0], decoding=drawn), *company)
            return [alone, together, await text_of(engine, PROMPTS[0], decoding=Decoding(max_new_tokens=20))]

    alone, together, greedy = asyncio.run(ask())
    assert alone == together != greedy
