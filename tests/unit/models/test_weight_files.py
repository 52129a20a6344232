"""What a tuning does not train lies in a file of its own, which is the same in every version."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from cl import plugins
from cl.errors import IntegrityError
from cl.models import weight_files
from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.models.inference import answer
from cl.models.persistence import load_learner, save_learner
from cl.models.weight_files import FROZEN, INDEX, TRAINED, WEIGHTS, read_tensors


@pytest.fixture
def make(tiny_config, tiny_model, monkeypatch):
    """Makes a learner by a tuning; its frozen part is large enough for a file of its own."""
    monkeypatch.setattr(weight_files, "FROZEN_BYTES", 1)

    def made(tuning: str = "full"):
        learner = new_learner(tiny_config(model={"name": str(tiny_model), "tuning": tuning, "max_length": 32}))
        learner = grow_labels(learner, ["fee", "loan"], seed=0)
        freeze_all_but_tuned(learner)
        return learner

    return made


def train_a_little(learner) -> None:
    with torch.no_grad():
        for parameter in learner.tuning.moving(learner.encoder):
            parameter.add_(0.01)


@pytest.mark.parametrize("tuning", plugins.names("tunings"))
def test_an_update_leaves_the_frozen_file_as_it_was_and_both_load(make, tuning, tmp_path, sentences) -> None:
    learner, rows = make(tuning), sentences(["loan", "fee"], 6)
    folders = [tmp_path / "before", tmp_path / "after"]
    for folder in folders:
        folder.mkdir()
        save_learner(learner, folder)
        assert abs(answer(load_learner(folder), rows).embeddings - answer(learner, rows).embeddings).max() == 0
        train_a_little(learner)
    before, after = (folder / "encoder" for folder in folders)
    if tuning == "head":  # nothing is trained: one file, the same in both
        assert (before / WEIGHTS).read_bytes() == (after / WEIGHTS).read_bytes()
        return
    assert not (before / WEIGHTS).exists()
    assert (before / FROZEN).read_bytes() == (after / FROZEN).read_bytes()
    assert (before / TRAINED).read_bytes() != (after / TRAINED).read_bytes()
    assert not load_file(before / FROZEN).keys() & load_file(before / TRAINED).keys()


def test_plain_transformers_reads_both_files(make, tmp_path) -> None:
    learner = make()
    save_learner(learner, tmp_path)
    encoder = AutoModel.from_pretrained(tmp_path / "encoder", add_pooling_layer=False)
    for name, tensor in learner.encoder.state_dict().items():
        assert torch.equal(encoder.state_dict()[name], tensor), name


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_a_version_in_one_file_loads_as_before(make, tuning, tmp_path, sentences) -> None:
    learner, rows = make(tuning), sentences(["loan", "fee"], 6)
    save_learner(learner, tmp_path)
    tensors = read_tensors(tmp_path / "encoder")
    for name in (FROZEN, TRAINED, INDEX):
        (tmp_path / "encoder" / name).unlink()
    save_file(tensors, tmp_path / "encoder" / WEIGHTS, metadata={"format": "pt"})
    assert abs(answer(load_learner(tmp_path), rows).embeddings - answer(learner, rows).embeddings).max() == 0


def test_a_small_frozen_part_stays_in_the_one_file(make, tmp_path, monkeypatch) -> None:
    monkeypatch.undo()
    save_learner(make(), tmp_path)
    assert (tmp_path / "encoder" / WEIGHTS).exists() and not (tmp_path / "encoder" / INDEX).exists()


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_an_index_that_names_a_file_elsewhere_is_refused(make, tuning, tmp_path) -> None:
    (folder := tmp_path / "version").mkdir()
    save_learner(make(tuning), folder)
    (folder / "encoder" / FROZEN).rename(folder / FROZEN)
    index = folder / "encoder" / INDEX
    index.write_text(index.read_text().replace(FROZEN, f"../{FROZEN}"))
    with pytest.raises(IntegrityError, match=r"names \.\./frozen\.safetensors, which is outside"):
        load_learner(folder)
