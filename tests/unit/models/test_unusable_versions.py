"""Files that are whole and make no learner: one line that says so, never a traceback, never random weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cl.errors import IntegrityError
from cl.models.build import grow_labels, new_learner
from cl.models.persistence import load_learner, save_learner


@pytest.fixture
def version(tiny_config, tmp_path) -> Path:
    folder = tmp_path / "version"
    folder.mkdir()
    save_learner(grow_labels(new_learner(tiny_config()), ["fee", "loan"], seed=0), folder)
    return folder


def change_tensors(name: str, change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], object]:
    def meddle(folder: Path) -> None:
        tensors = load_file(folder / name)
        change(tensors)
        save_file(tensors, folder / name, metadata={"format": "pt"})

    return meddle


def change_json(name: str, **fields: object) -> Callable[[Path], object]:
    def meddle(folder: Path) -> None:
        content = {**json.loads((folder / name).read_text()), **fields}
        (folder / name).write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))

    return meddle


WEIGHTS = "encoder/model.safetensors"
LAYER = "encoder.layer.1.output.dense.weight"


@pytest.mark.parametrize(
    "meddle",
    [
        pytest.param(change_tensors(WEIGHTS, lambda tensors: tensors.pop(LAYER)), id="a tensor is missing"),
        pytest.param(change_tensors(WEIGHTS, lambda tensors: tensors.clear()), id="all tensors are missing"),
        pytest.param(
            change_tensors(WEIGHTS, lambda tensors: tensors.update({LAYER: torch.zeros(3, 3)})), id="another shape"
        ),
        pytest.param(change_tensors("head.safetensors", lambda tensors: tensors.clear()), id="no head"),
        pytest.param(
            change_tensors(
                "head.safetensors", lambda tensors: tensors.update({name: torch.zeros(7) for name in list(tensors)})
            ),
            id="another head",
        ),
        pytest.param(change_json("encoder/config.json", hidden_size=48), id="another width"),
        pytest.param(change_json("encoder/config.json", model_type="unheard of"), id="another architecture"),
        pytest.param(change_json("encoder/config.json", num_hidden_layers="two"), id="no number"),
        pytest.param(change_json("learner.json", labels=...), id="no labels"),
        pytest.param(change_json("learner.json", head={"closed": True}), id="no sizes"),
        pytest.param(change_json("learner.json", task="surfing"), id="no such task"),
        pytest.param(change_json("learner.json", model={"name": 3, "layers": "x"}), id="no settings"),
        pytest.param(lambda folder: (folder / "learner.json").write_text("[1]"), id="no record"),
        pytest.param(lambda folder: (folder / WEIGHTS).write_bytes(b"x" * 100), id="no tensors"),
        pytest.param(lambda folder: (folder / "tokenizer" / "tokenizer.json").write_text("{}"), id="no tokenizer"),
    ],
)
def test_a_version_that_makes_no_learner_is_one_line(version, meddle) -> None:
    load_learner(version)
    meddle(version)
    with pytest.raises(IntegrityError, match="cannot be used as a version: ") as error:
        load_learner(version)
    message = str(error.value)
    assert message.startswith(str(version)) and "\n" not in message and len(message) < 900
