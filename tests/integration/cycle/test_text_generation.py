"""A project that writes its answers, through its whole life: two cycles, serving, feedback, rollback, reproduction."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import torch

import cl
from cl import config as configuration
from cl.commands.gc import free_space
from cl.commands.reproduce import reproduce_version
from cl.config import parse
from cl.errors import ConfigError
from cl.lifecycle import run_waiting
from cl.models.probes import load_probes
from cl.serving.app import create_app
from cl.serving.worker import ServingWorker
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import open_stores
from tests.support.templates import copied
from tests.support.tiny import made_tiny_writer, tiny_project

LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
"""A model of random weights learns little between its attention alone."""


def replies(words: list[str], rows: int, *, seed: int) -> pd.DataFrame:
    """Questions about a thing, and the reply that names it."""
    rng = np.random.default_rng(seed)
    things = [words[row % len(words)] for row in range(rows)]
    asked = [
        " ".join([*rng.choice(["please", "help", "the", "is", "where", "old"], size=4), thing]) for thing in things
    ]
    ids = [f"r{seed}-{row}" for row in range(rows)]
    return pd.DataFrame({"id": ids, "prompt": asked, "completion": [f"my {thing} is lost" for thing in things]})


def writing_project(folder: Path, model: Path, **changes: Any) -> ProjectFolder:
    raw: dict[str, Any] = {
        "task": {"name": "text_generation", "max_new_tokens": 6},
        "model": {
            "name": str(model),
            "max_length": 32,
            "tuning": {"name": "lora", "rank": 16, "learning_rate": 0.01, "targets": LAYERS},
        },
        "training": {"epochs": 40, "patience": 40, "batch_size": 8, "precision": "float32"},
        "evaluation": {"smoke_rows": 4, "latency_calls": 1, "throughput_rows": 2},
        "gates": [{"name": "floor", "min": 0.8}, {"name": "forgetting", "max": 0.2}],
        **changes,
    }
    return tiny_project(folder, model, **raw)


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    """Servers and backtests set how many threads torch has, on which the last bits of weights depend: one here."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def writer(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_tiny_writer(tmp_path_factory.mktemp("writer") / "model", tiny_model)


@pytest.fixture(scope="session")
def learned_twice(writer: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> ProjectFolder:
    """A project after two cycles; copy it: nobody may change it."""
    torch.set_num_threads(1)
    drift = {"encoder": str(tiny_model), "max_rows": 200, "reference_rows": 200, "report": "always"}
    project = writing_project(tmp_path_factory.mktemp("written") / "shop", writer, drift=drift)
    for name, words, seed in (("one", ["card", "parcel"], 1), ("two", ["loan", "fee"], 2)):
        replies(words, 60, seed=seed).to_csv(project.root / "inbox" / f"{name}.csv", index=False)
        (cycle,) = run_waiting(project)
        assert cycle.verdict == "promoted", cycle
        assert cycle.evaluation is not None and cycle.evaluation.metric == "chrf"
        assert {"rouge_l", "exact_match", "f1", "corpus_chrf"} <= cycle.evaluation.challenger[-1].metrics.keys()
        assert cycle.evaluation.numbers["nll"] > 0
        assert cycle.gates is not None and cycle.gates.verdicts[-1].gate == "smoke test"
    return project


@pytest.fixture
def project(learned_twice: ProjectFolder, tmp_path: Path) -> ProjectFolder:
    return copied(learned_twice, tmp_path / "shop")


def test_what_two_cycles_have_taught_is_written_and_a_step_back_forgets_the_second(project) -> None:
    shop = cl.Project.open(project.root)
    answers = shop.predict(["please help the old card", "where is the old loan"])
    assert list(answers["prediction"]) == ["my card is lost", "my loan is lost"]
    assert shop.champion == "2" and answers["confidence"].between(0, 1).all()
    shop.rollback(why="test")
    assert shop.champion == "1"
    assert list(shop.predict(["please help the old card"])["prediction"]) == ["my card is lost"]
    (loan,) = shop.load("1").predict(pd.DataFrame({"prompt": ["where is the old loan"]}))["completion"]
    assert loan != "my loan is lost"


def test_prompts_are_compared_by_the_encoder_and_answers_by_what_the_champion_writes(project) -> None:
    findings = {finding.detector: finding for finding in cl.Project.open(project.root).history()[-1].drift.findings}
    tested = {name for name, finding in findings.items() if finding.p_value is not None}
    assert {"embedding_mmd", "novelty", "descriptors", "answer_length", "refusals", "answer_nll"} <= tested
    assert findings["embedding_mmd"].drifted and findings["answer_nll"].drifted and not findings["refusals"].drifted
    assert "p < 0.0001" in findings["answer_nll"].summary


def test_the_report_shows_answers_side_by_side_and_every_number_of_a_model_that_writes(project) -> None:
    page = cl.Project.open(project.root).report().read_text()
    assert "answers side by side" in page and "lengths of the answers" in page
    assert "my card is lost" in page and "KL from the champion on new prompts" in page
    assert "written rows together: chrF" in page and "words of the answers over those of the true ones" in page
    assert "NLL of the true answers" in page and "of general texts" in page


def test_both_versions_share_one_base_that_the_project_keeps(project, writer) -> None:
    (base,) = (project.root / ".cl" / "bases").iterdir()
    assert (base / "model.safetensors").read_bytes() == (writer / "model.safetensors").read_bytes()
    stored = list((project.root / "mlflow").rglob("model.safetensors"))
    assert len(stored) == 2 and not any(path.read_bytes() == (base / path.name).read_bytes() for path in stored)


def test_each_version_has_probes_of_its_own(project) -> None:
    stored = [load_probes(path.parent) for path in sorted((project.root / "mlflow").rglob("probes.json"))]
    assert len(stored) == 2 and stored[0] != stored[1]
    assert all(probe.distance(probe.base) > 0 for probes in stored for probe in probes)


def test_gc_removes_the_bases_that_no_version_refers_to_but_none_of_the_last_day(project) -> None:
    (used,) = (project.root / ".cl" / "bases").iterdir()
    names = ["another", "new"]
    for name in names:
        shutil.copytree(used, used.with_name(name))
    for path in (used, used.with_name("another")):
        os.utime(path, (time.time() - 2 * 86_400,) * 2)
    assert "bases/another" in free_space(project.root, keep_last=None, keep_days=None, dry_run=True).local
    free_space(project.root, keep_last=None, keep_days=None, dry_run=False)
    assert sorted(path.name for path in used.parent.iterdir()) == sorted([used.name, "new"])
    assert list(cl.Project.open(project.root).predict(["please help the old card"])["prediction"]) == [
        "my card is lost"
    ]


def test_a_version_is_made_again_to_the_bit(project) -> None:
    result = reproduce_version(project.root, "2")
    assert result.identical and result.compared >= 3, result.apart


def test_prompts_are_answered_by_the_server_and_the_right_answers_come_back(project) -> None:
    seen: dict[str, Any] = {}

    async def ask() -> None:
        config = configuration.load(project.config)
        worker = ServingWorker(config, open_stores(project, config))
        worker.draining.arm = lambda loop: None  # type: ignore[method-assign]  # it is pytest that signals stop
        await worker.start()
        try:
            transport = httpx.ASGITransport(app=create_app(worker, listens_on="127.0.0.1"))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                body = {"texts": ["please help the old card", "where is the old loan"]}
                seen["answers"] = (await client.post("/predict", json=body)).json()
                seen["top"] = await client.post("/predict", json={"text": "a card", "top_k": 2})
                first = seen["answers"]["predictions"][0]
                seen["feedback"] = await client.post(
                    "/feedback", json={"id": first["id"], "completion": "your card is new"}
                )
                table = {"dataframe_records": [{"prompt": "please help the old card"}]}
                seen["table"] = (await client.post("/invocations", json=table)).json()
        finally:
            await worker.stop()

    asyncio.run(ask())
    assert seen["answers"]["version"] == "2"
    answers = [answer["completion"] for answer in seen["answers"]["predictions"]]
    assert answers == ["my card is lost", "my loan is lost"]
    assert seen["top"].status_code == 422 and "has no probabilities over labels" in seen["top"].text
    assert seen["feedback"].status_code == 200, seen["feedback"].text
    assert seen["table"]["predictions"][0]["completion"] == "my card is lost"


def test_a_stream_is_replayed_under_two_strategies(project, tmp_path) -> None:
    raw = configuration.load(project.config).model_dump(mode="json", by_alias=True)
    raw["training"] |= {"epochs": 2, "patience": 2}
    config = parse(raw, where="test")
    stream = {"a": replies(["card", "fee"], 40, seed=3), "b": replies(["box", "lamp"], 40, seed=4)}
    results = cl.backtest(config, stream, strategies=["naive", "replay"], out=tmp_path / "backtest", jobs=1)
    assert {result.name for result in results} == {"naive", "replay"}
    assert all(0 <= max(result.accuracy_over_time) <= 1 for result in results)


def test_rows_without_an_answer_are_set_aside(project) -> None:
    rows = replies(["box", "lamp"], 40, seed=4)
    rows.loc[3, "completion"], rows.loc[5, "completion"], rows.loc[7, "prompt"] = None, "   ", ""
    (experience,) = cl.Project.open(project.root).ingest(rows)
    assert experience.quarantined_rows == 3


@pytest.mark.parametrize("strategy", ["ranpac", "der", "lwf", "fgm"])
def test_a_strategy_that_needs_labels_or_a_head_is_refused_in_one_line(strategy, writer) -> None:
    with pytest.raises(ConfigError, match=f"strategy '{strategy}' needs .* task 'text_generation' does not have"):
        parse({"task": "text_generation", "model": {"name": str(writer)}, "strategy": strategy}, where="test")
