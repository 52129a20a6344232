"""A version is written down for ONNX Runtime, judged and served as any other, and its teacher learns on."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from cl.cli.main import cl
from cl.commands.export import export_version
from cl.commands.lineage import trace_lineage
from cl.commands.promotion import promote_version
from cl.compression.distil import distil
from cl.compression.rewrite import quantise, to_onnx
from cl.config import Config, parse
from cl.errors import ConfigError, InputError, IntegrityError
from cl.lifecycle import run_waiting
from cl.models.inference import answer, score_rows
from cl.models.persistence import load_learner
from cl.stores.manifest import check_manifest, write_manifest
from cl.stores.opened import open_project
from cl.stores.project_folder import ProjectFolder
from cl.training.train import train
from tests.support.served import Server
from tests.support.tiny import made_sentences, tiny_project

NO_ROWS = pd.DataFrame({"id": [], "text": []})
ROWS = made_sentences(["loan", "fee"], 60)


def rows_of(ids: list[str], split: str) -> pd.DataFrame:
    return ROWS if ids and split != "test" else ROWS[:0]


def folder_of(project: ProjectFolder, version: str) -> Path:
    folder = open_project(project.root).stores.champion_folder(version)
    assert folder is not None
    return folder


@pytest.fixture(scope="module")
def shop(tmp_path_factory, tiny_model) -> ProjectFolder:
    """A project with one version; what is made of it is smoke-tested, and held against its latency and size as well."""
    costs = [{"name": "ceiling", "metric": one, "max": 1e4} for one in ("latency_ms", "size_mb")]
    gates = [{"name": "floor", "min": 0.1}, *costs]
    project = tiny_project(
        tmp_path_factory.mktemp("onnx") / "shop", tiny_model, gates=gates, evaluation={"smoke_rows": 4}
    )
    made_sentences(["loan", "fee", "box"], 150, seed=1).to_csv(project.root / "inbox" / "one.csv", index=False)
    run_waiting(project)
    return project


@pytest.fixture(scope="module")
def learnt(tmp_path_factory, tiny_model) -> Path:
    """The folder of a version that was trained on two labels."""
    folder = tmp_path_factory.mktemp("learnt") / "version"
    raw = {"model": {"name": str(tiny_model)}, "training": {"epochs": 3, "learning_rate": 1e-3}, "strategy": "replay"}
    train(parse(raw, where="test"), champion=None, new=["a"], past=[], rows_of=rows_of, folder=folder)
    return folder


@pytest.fixture(scope="module")
def graph(learnt) -> Path:
    """The folder of the same version in ONNX; nobody changes it."""
    folder = learnt.with_name("graph")
    to_onnx("onnx", teacher=learnt, learnt=["a"], rows_of=rows_of, folder=folder, seed=0)
    return folder


@pytest.mark.nightly
def test_by_hand_it_is_made_judged_served_and_learnt_on_from(shop, tmp_path) -> None:
    root = str(shop.root)
    for options, form in ((["--onnx"], "onnx"), (["--onnx", "--int8"], "onnx-int8")):
        done = CliRunner().invoke(cl, ["distil", "1", *options, "--json", "-p", root], catch_exceptions=False)
        told = json.loads(done.stdout)
        assert done.exit_code == 0 and (told["form"], told["teacher"]) == (form, "1")
        gates = {one["gate"] for one in told["verdicts"] if one["passed"]}
        assert {"ceiling latency_ms", "ceiling size_mb", "smoke test"} <= gates
        assert told["accuracy"] == pytest.approx(told["teacher_accuracy"], abs=0.03)
    at = open_project(shop.root)
    made = at.stores.registry.versions()[-1]
    assert (made.version, made.tags["cl.form"], made.tags["cl.parent"]) == ("3", "onnx-int8", "1")
    assert "encoder/model.onnx" in json.loads((folder_of(shop, "2") / "manifest.json").read_text())
    sizes = [json.loads((folder_of(shop, one) / "evaluation.json").read_text())["size_mb"] for one in "123"]
    assert sizes[2] < sizes[0] < sizes[1] < sizes[0] + 0.1, "a graph holds no weight"

    promote_version(shop.root, "2", alias="champion", share=None, why="as agreed", despite_gates=False)
    texts = made_sentences(["loan", "fee"], 6, seed=8)["text"].tolist()
    wanted = answer(load_learner(folder_of(shop, "1")), pd.DataFrame({"text": texts})).predictions
    server = Server(shop.root)
    try:
        said = server.post("/predict", {"texts": texts})
    finally:
        server.stop()
    assert said["version"] == "2" and [one["label"] for one in said["predictions"]] == [one.value for one in wanted]
    confidence = [one["confidence"] for one in said["predictions"]]
    assert confidence == pytest.approx([one.confidence for one in wanted], abs=1e-3)

    loads = export_version(shop.root, "2", tmp_path / "out")["loads"]
    assert load_learner(tmp_path / "out").graph is not None and "in encoder/" in loads[1]

    made_sentences(["loan", "lamp"], 60, seed=3).to_csv(shop.root / "inbox" / "two.csv", index=False)
    path = shop.config
    path.write_text(path.read_text() + "distil: {forms: [onnx]}\n")
    cycle = run_waiting(shop)[-1]
    assert cycle.verdict == "promoted" and [one.form for one in cycle.derived] == ["onnx"]
    line = trace_lineage(shop.root, str(cycle.champion_after))["versions"]
    assert [(one["version"], one["form"]) for one in line] == [("5", "onnx"), ("4", None), ("1", None)]
    assert "lamp" in load_learner(folder_of(shop, "5")).labels


def test_a_byte_that_has_changed_in_the_graph_is_told_by_name(graph, tmp_path) -> None:
    shutil.copytree(graph, tmp_path / "copy")
    write_manifest(tmp_path / "copy")
    check_manifest(tmp_path / "copy")
    path = tmp_path / "copy" / "encoder" / "model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"encoder/model\.onnx was changed after it was saved"):
        check_manifest(tmp_path / "copy")


def test_what_learns_on_from_the_folder_itself_has_the_same_weights(learnt, graph, tiny_config, tmp_path) -> None:
    config = tiny_config(strategy="replay")
    for name, champion in (("one", learnt), ("two", graph)):
        train(config, champion=champion, new=["b"], past=["a"], rows_of=rows_of, folder=tmp_path / name)
    one, two = (load_learner(tmp_path / name) for name in ("one", "two"))
    assert two.graph is None and not (tmp_path / "two" / "encoder" / "model.onnx").exists()
    assert all((a == b).all() for a, b in zip(one.encoder.parameters(), two.encoder.parameters(), strict=True))
    student = tiny_config(distil={"student": {"layers": 1, "vocabulary": 40}, "epochs": 1})
    folder = tmp_path / "student"
    distil(student, teacher=graph, learnt=["a"], rows_of=rows_of, unlabelled=NO_ROWS, folder=folder)
    assert load_learner(folder).graph is None, "a student of it is in floats"


def test_a_head_that_was_solved_for_stays(tiny_config, tmp_path) -> None:
    config = tiny_config(strategy={"name": "ranpac", "features": 64})
    train(config, champion=None, new=["a"], past=[], rows_of=rows_of, folder=tmp_path / "solved")
    to_onnx("onnx", teacher=tmp_path / "solved", learnt=["a"], rows_of=rows_of, folder=tmp_path / "graph", seed=0)
    ours, graph = load_learner(tmp_path / "solved"), load_learner(tmp_path / "graph")
    assert graph.is_closed and graph.graph is not None
    assert score_rows(graph, ROWS)[0] == pytest.approx(score_rows(ours, ROWS)[0], abs=0.02)


@pytest.mark.nightly
def test_words_are_tagged_in_onnx_as_well(tiny_config, tmp_path) -> None:
    words, tags = ["anna", "lives", "in", "paris"], {"anna": "B-PER", "paris": "B-LOC"}
    tokens = [list(np.random.default_rng(at).permutation(words)) for at in range(40)]
    tagged = pd.DataFrame({"id": map(str, range(40)), "tokens": tokens, "date": None})
    tagged["tags"] = [[tags.get(word, "O") for word in one] for one in tokens]

    def tagged_of(ids: list[str], split: str) -> pd.DataFrame:
        return tagged if ids else tagged[:0]

    quick = {"epochs": 8, "batch_size": 8, "learning_rate": 3e-3, "precision": "float32"}
    config = tiny_config(task="token_classification", strategy="naive", training=quick)
    train(config, champion=None, new=["a"], past=[], rows_of=tagged_of, folder=tmp_path / "tagger")
    to_onnx("onnx", teacher=tmp_path / "tagger", learnt=["a"], rows_of=tagged_of, folder=tmp_path / "graph", seed=0)
    ours, graph = load_learner(tmp_path / "tagger"), load_learner(tmp_path / "graph")
    assert graph.graph is not None and score_rows(graph, tagged)[0] > 0.8
    assert answer(graph, tagged).values == answer(ours, tagged).values


def test_what_is_in_onnx_or_int8_already_is_refused(learnt, graph, tmp_path) -> None:
    quantise(teacher=learnt, folder=tmp_path / "small")
    for teacher, why in ((graph, "in ONNX already"), (tmp_path / "small", "in int8 already")):
        with pytest.raises(InputError, match=why):
            to_onnx("onnx-int8", teacher=teacher, learnt=["a"], rows_of=rows_of, folder=tmp_path / "new", seed=0)
    with pytest.raises(InputError, match="in ONNX already"):
        quantise(teacher=graph, folder=tmp_path / "smaller")


def test_what_cannot_be_compared_or_answers_otherwise_leaves_nothing(learnt, graph, tmp_path, monkeypatch) -> None:
    wanted = {"teacher": learnt, "learnt": ["a"], "folder": tmp_path / "graph", "seed": 0}
    with pytest.raises(InputError, match="no validation or training rows to compare the ONNX graph on"):
        to_onnx("onnx", rows_of=lambda ids, split: ROWS[:0], **wanted)
    monkeypatch.setattr("cl.compression.onnx_check.TOLERANCE", -1.0)
    known = graph / "encoder" / "model.onnx"  # the same that it would write, without the seconds
    monkeypatch.setattr(
        "cl.compression.rewrite.write_graph", lambda encoder, layers, folder: shutil.copy(known, folder)
    )
    with pytest.raises(InputError, match="the ONNX graph of BertModel does not match its encoder"):
        to_onnx("onnx", rows_of=rows_of, **wanted)
    assert not (tmp_path / "graph").exists()


def tuned(config: Callable[..., Config], model: Path, tuning: str, folder: Path) -> dict[str, Any]:
    """Train with a tuning, and return what `to_onnx` is asked with."""
    one = config(strategy="naive", model={"name": str(model), "tuning": {"name": tuning}, "max_length": 32})
    train(one, champion=None, new=["a"], past=[], rows_of=rows_of, folder=folder / "tuned")
    return {"teacher": folder / "tuned", "learnt": ["a"], "rows_of": rows_of, "folder": folder / "graph", "seed": 0}


@pytest.mark.nightly
def test_adapters_are_merged_first(tiny_config, tiny_model, tmp_path) -> None:
    to_onnx("onnx", **tuned(tiny_config, tiny_model, "lora", tmp_path))
    ours, graph = (answer(load_learner(tmp_path / name), ROWS) for name in ("tuned", "graph"))
    assert np.abs(ours.embeddings - graph.embeddings).max() < 1e-4


def test_what_cannot_be_merged_is_refused_in_a_line(tiny_config, tiny_model, tmp_path) -> None:
    wanted = tuned(tiny_config, tiny_model, "prefix", tmp_path)
    with pytest.raises(ConfigError, match="tuned with 'prefix' cannot be merged into its encoder") as told:
        to_onnx("onnx", **wanted)
    assert "\n" not in str(told.value) and not (tmp_path / "graph").exists()


def test_without_the_packages_nothing_is_made_and_the_remedy_is_told(learnt, tmp_path, monkeypatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("cl.extras.find_spec", lambda name: None if name == "onnxruntime" else find(name))
    with pytest.raises(InputError, match=r"needs onnxruntime: pip install 'perennial-ml\[onnx\]'") as told:
        to_onnx("onnx", teacher=learnt, learnt=["a"], rows_of=rows_of, folder=tmp_path / "graph", seed=0)
    assert told.value.exit_code == 2 and not (tmp_path / "graph").exists()
