"""An exported folder answers by itself: the code in its README is run as it stands."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cl.config import Config
from cl.errors import InputError
from cl.models.build import grow_labels, new_learner
from cl.models.inference import predict
from cl.models.persistence import load_learner
from cl.records.history import History
from cl.registry.export import export
from cl.stores.manifest import check_manifest
from cl.stores.version_folder import save_history
from cl.training.train import save_version, train
from tests.support import warm
from tests.support.families import FAMILIES
from tests.support.tiny import made_sentences


@pytest.mark.parametrize("family", ["t5", "gpt2", "roberta"])
def test_the_code_of_an_export_loads_an_encoder_of_any_family(family, tmp_path, tiny_config, monkeypatch) -> None:
    model = {"name": str(FAMILIES[family].save(tmp_path / "model", pad=False)), "dropout": 0.0}
    made(tiny_config(model=model), tmp_path / "v", ["fee", "loan"])
    export(tmp_path / "v", tmp_path / "out", version="1", model="shop")
    expected = predict(load_learner(tmp_path / "v"), pd.DataFrame({"text": ["my parcel is lost"]}))[0].value
    assert answers_of(snippets(tmp_path / "out")[1], tmp_path / "out", monkeypatch) == [expected]


def made(config: Config, folder: Path, labels: list[str]) -> Path:
    """Return an untrained learner's folder, with a state that holds rows."""
    save_version(grow_labels(new_learner(config), labels, seed=1), {}, folder)
    (folder / "strategies").mkdir()
    (folder / "strategies" / "rows.parquet").write_bytes(b"rows")
    save_history(History(), folder)
    return folder


def snippets(folder: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), flags=re.DOTALL)


def answers_of(code: str, folder: Path, monkeypatch) -> object:
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    exec(code, names)
    return names.get("answers")


def test_a_text_classifier_answers_with_transformers_alone_as_with_perennial(
    tmp_path, tiny_config, monkeypatch
) -> None:
    rows = {split: made_sentences(["loan", "fee"], 40, seed=at) for at, split in enumerate(("train", "validation"))}
    train(
        tiny_config(), champion=None, new=["1"], past=[], rows_of=lambda ids, split: rows[split], folder=tmp_path / "v"
    )
    save_history(History(), tmp_path / "v")
    loads = export(tmp_path / "v", tmp_path / "out", version="1", model="shop")
    check_manifest(tmp_path / "out")
    assert "AutoModel, the encoder, in encoder/" in loads[1]
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == [
        "README.md", "encoder", "head.safetensors", "history.json", "labels.json", "learner.json", "manifest.json",
        "tokenizer",
    ]  # fmt: skip
    ours, inline = snippets(tmp_path / "out")
    assert "cl." not in inline
    expected = [
        one.value for one in predict(load_learner(tmp_path / "v"), pd.DataFrame({"text": ["my parcel is lost"]}))
    ]
    assert answers_of(inline, tmp_path / "out", monkeypatch) == expected
    exec(ours, {})


def test_what_a_tuning_adds_is_merged_for_transformers(tmp_path, tiny_config, monkeypatch) -> None:
    config = tiny_config(model={**tiny_config().model.model_dump(), "tuning": "lora"})
    folder = made(config, tmp_path / "v", ["fee", "loan"])
    loads = export(folder, tmp_path / "out", version="1", model="shop")
    assert "in transformers/" in loads[1]
    expected = [one.value for one in predict(load_learner(folder), pd.DataFrame({"text": ["my parcel is lost"]}))]
    assert answers_of(snippets(tmp_path / "out")[1], tmp_path / "out", monkeypatch) == expected


def test_a_token_classifier_is_a_whole_model_of_transformers(tmp_path, tiny_config, monkeypatch) -> None:
    folder = made(tiny_config(task="token_classification"), tmp_path / "v", ["B-PER", "I-PER", "O"])
    loads = export(folder, tmp_path / "out", version="1", model="shop")
    assert "AutoModelForTokenClassification, the whole model" in loads[1]
    found = answers_of(snippets(tmp_path / "out")[1], tmp_path / "out", monkeypatch)
    rows = pd.DataFrame({"tokens": [np.array(["anna", "lives", "in", "paris"])]})
    (ours,) = predict(load_learner(folder), rows)
    assert [one["entity"] for one in found] == [tag for tag in ours.value if tag != "O"]  # type: ignore[attr-defined]


def test_a_closed_form_says_that_its_head_needs_perennial(tmp_path, tiny_config) -> None:
    config = tiny_config(strategy={"name": "ranpac", "features": 64})
    rows = {split: made_sentences(["loan", "fee"], 40, seed=at) for at, split in enumerate(("train", "validation"))}
    train(config, champion=None, new=["1"], past=[], rows_of=lambda ids, split: rows[split], folder=tmp_path / "v")
    save_history(History(), tmp_path / "v")
    loads = export(tmp_path / "v", tmp_path / "out", version="1", model="shop")
    assert "the encoder alone" in loads[1] and "Perennial" in loads[1]
    assert len(snippets(tmp_path / "out")) == 1


def test_a_folder_that_holds_something_is_left_alone(tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        export(tmp_path / "v", tmp_path / "out", version="1", model="shop")
    with pytest.raises(InputError, match="is a file"):
        export(tmp_path / "v", tmp_path / "out" / "mine.txt", version="1", model="shop")


def test_an_export_that_is_killed_leaves_no_half_folder(tmp_path, tiny_config) -> None:
    folder = made(tiny_config(), tmp_path / "v", ["fee", "loan"])
    code = (
        "import os, signal\nimport cl.registry.export as module\nfrom pathlib import Path\n"
        "module.write_manifest = lambda draft: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"module.export(Path({str(folder)!r}), Path({str(tmp_path / 'out')!r}), version='1', model='shop')\n"
    )
    assert warm.python(code).returncode == -9
    assert not (tmp_path / "out").exists()
    export(folder, tmp_path / "out", version="1", model="shop")
    check_manifest(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "labels.json").read_text()) == ["fee", "loan"]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["out", "v"]
