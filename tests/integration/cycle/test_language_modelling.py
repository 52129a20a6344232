"""A project that learns texts as a whole, through its whole life: two cycles, predict, serving, gates, reproduction."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from math import log
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM

import cl
from cl import config as configuration
from cl.commands.gc import free_space
from cl.commands.predict import predict_file
from cl.commands.reproduce import reproduce_version
from cl.config import parse
from cl.ingestion.sources.serving import read_labelled_rows
from cl.lifecycle import run_waiting
from cl.models.inference import answer
from cl.models.persistence import load_learner
from cl.serving.app import create_app
from cl.serving.worker import ServingWorker
from cl.stores.data.removal import remove_derived
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import open_stores
from cl.tasks.language_modelling import LanguageModelling
from tests.support.templates import copied
from tests.support.tiny import made_tiny_writer, tiny_project

pytestmark = pytest.mark.timeout(240)  # the first test waits for two cycles
LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BLOCK = 12


def documents(thing: str, rows: int, *, seed: int) -> pd.DataFrame:
    """Texts of several blocks about a thing: after its name, the same words always come."""
    rng = np.random.default_rng(seed)
    sentences = [f"the {thing} is lost", f"my {thing} is broken", f"please send the {thing} back"]
    texts = [" ".join(rng.choice(sentences, size=int(rng.integers(2, 7)))) for _ in range(rows)]
    return pd.DataFrame({"id": [f"r{seed}-{row}" for row in range(rows)], "text": texts})


def made_sure_writer(folder: Path, tokenizer: Path) -> Path:
    """A tiny causal model whose word embeddings, which are not trained, are long enough for sure predictions."""
    model = AutoModelForCausalLM.from_pretrained(made_tiny_writer(folder, tokenizer))
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(20)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def learned_twice(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> ProjectFolder:
    """A project after two cycles; copy it: nobody may change it."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("read")
    model = made_sure_writer(folder / "model", tiny_model)
    raw: dict[str, Any] = {
        "task": {"name": "language_modelling", "max_new_tokens": 4},
        "model": {
            "name": str(model),
            "max_length": BLOCK,
            "tuning": {"name": "lora", "rank": 16, "learning_rate": 0.005, "targets": LAYERS},
        },
        "training": {"epochs": 12, "patience": 12, "batch_size": 8, "precision": "float32"},
        "strategy": {"name": "replay", "ratio": 0.3},
        "evaluation": {"smoke_rows": 4, "latency_calls": 1, "throughput_rows": 2},
        "gates": [
            {"name": "floor", "min": 0.75},
            {"name": "forgetting", "max": 0.1},
            {"name": "rule", "of": "bits_per_byte", "max": 0.5},
            {"name": "rule", "of": "nll", "max": 3.0},
        ],
    }
    project = tiny_project(folder / "shop", model, **raw)
    for name, thing, seed in (("one", "card", 1), ("two", "loan", 2)):
        documents(thing, 110, seed=seed).to_csv(project.root / "inbox" / f"{name}.csv", index=False)
        (cycle,) = run_waiting(project)
        assert cycle.verdict == "promoted", str(cycle)
    evaluation = cycle.evaluation
    assert evaluation is not None and evaluation.metric == "likelihood"
    assert 0 < evaluation.numbers["bits_per_byte"] < 0.5 and evaluation.numbers["general_nll"] > 0
    assert set(evaluation.forgetting) == {"0001-one"} and evaluation.forgetting["0001-one"] < 0.1
    assert not [name for name in evaluation.numbers if name.startswith("share_")], "nothing is written"
    assert cycle.gates is not None and cycle.gates.verdicts[-1].gate == "smoke test"
    return project


@pytest.fixture
def project(learned_twice: ProjectFolder, tmp_path: Path) -> ProjectFolder:
    return copied(learned_twice, tmp_path / "shop")


def test_texts_like_those_learned_take_fewer_bits_and_a_step_back_forgets_the_second(project) -> None:
    shop = cl.Project.open(project.root)
    own, other = "my loan is broken the loan is lost", "loan broken my lost is the is loan"
    known, shuffled = map(float, shop.predict([own, other])["prediction"])
    assert known < 0.75 * shuffled
    confidence = shop.predict([own])["confidence"][0]
    assert -log(confidence) / log(2) == pytest.approx(known, abs=1e-3)
    shop.rollback(why="test")
    assert float(shop.predict([own])["prediction"][0]) > 1.2 * known


def test_texts_of_a_file_are_measured(project, tmp_path) -> None:
    documents("card", 5, seed=9).to_csv(tmp_path / "asked.csv", index=False)
    assert predict_file(project.root, str(tmp_path / "asked.csv"), tmp_path / "out.csv")["answered"] == 5
    assert pd.read_csv(tmp_path / "out.csv")["prediction"].between(0, 2).all()


def test_a_version_is_made_again_to_the_bit(project) -> None:
    result = reproduce_version(project.root, "2")
    assert result.identical and result.compared >= 3, result.apart


def test_the_server_measures_texts_and_continues_them(project, tmp_path) -> None:
    seen: dict[str, Any] = {}
    texts = ["my loan is broken the loan is lost", "the card"]

    async def ask() -> None:
        config = configuration.load(project.config)
        worker = ServingWorker(config, open_stores(project, config))
        worker.draining.arm = lambda loop: None  # type: ignore[method-assign]  # it is pytest that signals stop
        await worker.start()
        try:
            transport = httpx.ASGITransport(app=create_app(worker, listens_on="127.0.0.1"))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                seen["measured"] = (await client.post("/predict", json={"texts": texts})).json()
                body = {"model": config.name, "prompt": "please send the loan"}
                id = seen["measured"]["predictions"][0]["id"]
                seen["right"] = await client.post("/feedback", json={"id": id, "bits_per_byte": "0.1"})
                seen["thumb"] = await client.post("/feedback", json={"id": id, "thumb": "up"})
                seen["continued"] = (await client.post("/v1/completions", json=body)).json()
        finally:
            await worker.stop()

    asyncio.run(ask())
    config = configuration.load(project.config)
    learner = load_learner(open_stores(project, config).registry.download("2", tmp_path / "version"))
    expected = answer(learner, pd.DataFrame({"text": texts})).values
    measured = [float(own["bits_per_byte"]) for own in seen["measured"]["predictions"]]
    assert measured == pytest.approx(list(map(float, expected)), abs=2e-4)
    (choice,) = seen["continued"]["choices"]
    assert seen["right"].status_code == 422 and "a thumb up learns the text" in seen["right"].text
    assert seen["thumb"].status_code == 200, seen["thumb"].text
    liked = read_labelled_rows(project, LanguageModelling.schema, corrections_taken=False).new
    assert liked["text"].tolist() == texts[:1], "a text that was liked is a row to learn"
    assert choice["text"].split()[0] == "back" and seen["continued"]["usage"]["completion_tokens"] <= 4


def tokens_of(project: ProjectFolder) -> list[Path]:
    return list((project.root / ".cl" / "tokens").rglob("*.npy"))


def test_tokens_are_kept_until_their_folder_is_emptied(project) -> None:
    assert tokens_of(project)
    free_space(project.root, keep_last=None, keep_days=None, dry_run=False)
    assert not tokens_of(project)


def test_what_is_derived_from_rows_that_are_forgotten_goes_with_their_tokens(tmp_path) -> None:
    project = ProjectFolder(tmp_path)
    (project.work / "tokens" / "setup").mkdir(parents=True)
    (project.work / "tokens" / "setup" / "rows.npy").write_bytes(b"1")
    remove_derived(project, [])
    assert not (project.work / "tokens").exists()


def test_a_stream_is_replayed(project, tmp_path) -> None:
    raw = configuration.load(project.config).model_dump(mode="json", by_alias=True)
    raw["training"] |= {"epochs": 1, "patience": 1}
    config = parse(raw, where="test")
    stream = {"a": documents("fee", 40, seed=3), "b": documents("box", 40, seed=4)}
    (result,) = cl.backtest(config, stream, strategies=["replay"], out=tmp_path / "backtest", jobs=1)
    assert 0 < max(result.accuracy_over_time) < 1
