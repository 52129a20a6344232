"""A tracking server keeps the files of versions, in a folder or a bucket, and its clients reach them through it alone.

Three versions are learnt and promoted, one is removed by `cl gc`: its files are gone from the server's store, and no
others; the rest loads, with stock MLflow as well, and serves again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd
import pytest

from cl.commands.gc import free_space
from cl.commands.predict import predict_texts
from cl.commands.promotion import roll_back
from cl.lifecycle import run_waiting
from cl.stores.mlflow.fresh_process import answer_in_fresh_process
from cl.stores.mlflow.registry import Registry
from cl.stores.mlflow.server_client import ServerClient
from cl.stores.opened import open_project
from tests.support.registry_reads import reads
from tests.support.servers import TrackingServer
from tests.support.stores import SECRET
from tests.support.tiny import made_sentences, tiny_project

QUICK = {
    "training": {"epochs": 4, "batch_size": 8, "head_learning_rate": 1e-2, "precision": "float32"},
    "evaluation": {"smoke_rows": 0, "robustness": [], "latency_calls": 3},
}
"""Where files lie is tested, not what the versions know."""


@dataclass(frozen=True)
class Kept:
    """A server that answers, and what it keeps: the names of all files."""

    server: TrackingServer
    files: Callable[[], set[str]]


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.nightly)])
def kept(request, tmp_path) -> Iterator[Kept]:
    place = tmp_path / "server"
    place.mkdir()
    if request.param == "folder":
        store, server = tmp_path / "store", TrackingServer(place, destination=str(tmp_path / "store"))

        def files() -> set[str]:
            return {str(path.relative_to(store)) for path in store.rglob("*") if path.is_file()}

    else:
        s3 = request.getfixturevalue("s3")
        server = TrackingServer(place, destination=f"s3://{s3.bucket}/models", environment=s3.environment)
        files = s3.keys
    try:
        server.start()
        yield Kept(server, files)
    finally:
        server.kill()


def of_version(files: set[str], source: str) -> set[str]:
    return {one for one in files if f"models/{source.rsplit('/', 1)[-1]}/" in one}


def test_a_version_s_files_go_from_the_server_s_store_and_the_rest_loads(kept, tmp_path, tiny_model) -> None:
    stores = {"tracking_uri": kept.server.url, "artifacts": None}
    shop = tiny_project(tmp_path / "shop", tiny_model, stores=stores, gates=[{"name": "floor", "min": 0.0}], **QUICK)
    for name, labels, seed in (("one", ["loan", "fee"], 1), ("two", ["loan", "box"], 2), ("three", ["fee", "shoe"], 3)):
        made_sentences(labels, 60, seed=seed).to_csv(shop.root / "inbox" / f"{name}.csv", index=False)
        assert [one.verdict for one in run_waiting(shop)] == ["promoted"]
    assert "AWS_SECRET_ACCESS_KEY" not in os.environ, "only the server has the keys"
    registry, before = open_project(shop.root).stores.registry, kept.files()
    infos = {one.version: one for one in registry.versions()}
    of = {
        one: of_version(before, registry.runs.client.get_model_version(registry.model, one).source or "")
        for one in infos
    }
    assert all(any("head.safetensors" in file for file in of[one]) for one in ("1", "2", "3"))
    size = registry.files.bytes_of(infos["1"])
    light = Registry(registry.tracking_uri, registry.artifacts, registry.model, reading=True)
    assert isinstance(light.runs.client, ServerClient)
    assert reads(light, ["1", "2", "3", "7"]) == reads(registry, ["1", "2", "3", "7"])

    done = free_space(shop.root, keep_last=0, keep_days=0, dry_run=False)
    assert done.versions == {"1": size} and size > 10_000
    assert before - kept.files() == of["1"], "its files, and nothing else"
    assert [registry.files.bytes_of(infos[one]) > 0 for one in ("1", "2", "3")] == [False, True, True]
    assert free_space(shop.root, keep_last=0, keep_days=0, dry_run=False).versions == {}

    shutil.rmtree(shop.work / "versions", ignore_errors=True)
    (answer,) = predict_texts(shop.root, ["my loan"])
    assert answer["version"] == "3"
    assert roll_back(shop.root, None, why="a test").to_version == "2"
    (answer,) = predict_texts(shop.root, ["my loan"])
    fresh = answer_in_fresh_process(registry, "2", pd.DataFrame({"text": ["my loan"]}))
    assert (answer["version"], answer["prediction"]) == ("2", fresh["label"][0])
    written = [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert not written
