"""An exported language model writes without Perennial what it writes with it: the code in its README is run."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from cl.errors import InputError
from cl.models.base_files import LanguageBase
from cl.models.build import new_learner
from cl.models.inference import predict
from cl.models.persistence import load_learner
from cl.records.history import History
from cl.registry.export import export
from cl.registry.export_language import export_language_model
from cl.stores.version_folder import save_history
from cl.tasks.text_generation import TextGeneration
from cl.training.train import save_version
from tests.integration.commands.test_export import answers_of, snippets
from tests.support.tiny import made_tiny_writer


def made_version(folder: Path, tiny_config, model: Path, tuning: dict[str, object]) -> Path:
    """Return the folder of a version whose trained tensors are random, so that they change what is written."""
    task = {"name": "text_generation", "max_new_tokens": 5}
    learner = new_learner(tiny_config(task=task, model={"name": str(model), "max_length": 64, "tuning": tuning}))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in learner.encoder.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.5)
    save_version(learner, {}, folder)
    save_history(History(), folder)
    return folder


@pytest.mark.parametrize("merged", [False, True], ids=["adapter", "merged"])
@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_the_code_of_an_export_writes_what_the_version_writes(
    kind, merged, tmp_path, tiny_config, tiny_model, monkeypatch
) -> None:
    base = made_tiny_writer(tmp_path / "base", tiny_model, kind=kind)
    version = made_version(tmp_path / "v", tiny_config, base, {"name": "lora", "rank": 4})
    example = pd.DataFrame({"prompt": [TextGeneration.schema.inputs[0].example]})
    (expected,) = predict(load_learner(version), example)
    (untrained,) = predict(
        new_learner(
            tiny_config(
                task={"name": "text_generation", "max_new_tokens": 5}, model={"name": str(base), "max_length": 64}
            )
        ),
        example,
    )
    assert expected.value != untrained.value, "the adapter changes nothing"
    export(version, tmp_path / "out", version="1", model="shop", merged=merged)
    assert (tmp_path / "out" / "transformers").exists() == merged
    assert answers_of(snippets(tmp_path / "out")[1], tmp_path / "out", monkeypatch) == [expected.value]


def test_an_adapter_names_its_base_and_the_digests_of_its_files(tmp_path, tiny_config, tiny_model) -> None:
    base = made_tiny_writer(tmp_path / "base", tiny_model)
    version = made_version(tmp_path / "v", tiny_config, base, {"name": "lora", "rank": 4})
    export(version, tmp_path / "out", version="1", model="shop")
    adapter = tmp_path / "out" / "adapter"
    assert json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"] == str(base)
    assert json.loads((adapter / "base.json").read_text())["files"].keys() >= {"model.safetensors", "config.json"}


def test_the_code_says_where_a_packaged_base_is(tmp_path, tiny_config, tiny_model) -> None:
    base = made_tiny_writer(tmp_path / "base", tiny_model)
    learner = load_learner(made_version(tmp_path / "v", tiny_config, base, {"name": "lora", "rank": 4}))
    (tmp_path / "out").mkdir()
    packaged = LanguageBase("smollm2", {"model.safetensors": "0"})
    _, code = export_language_model(learner, packaged, tmp_path / "out", merged=False)
    assert f'base = "smollm2"  # only Perennial knows this name: put PROJECT/.cl/bases/{packaged.digest}' in code


def test_a_model_that_was_trained_as_a_whole_is_exported_as_a_whole(tmp_path, tiny_config, tiny_model) -> None:
    base = made_tiny_writer(tmp_path / "base", tiny_model)
    version = made_version(tmp_path / "v", tiny_config, base, {"name": "full"})
    with pytest.raises(InputError, match=r"makes no adapter .* add --merged"):
        export(version, tmp_path / "out", version="1", model="shop")
    assert not list(tmp_path.glob("*out*")), "a half folder stays"
    export(version, tmp_path / "out", version="1", model="shop", merged=True)
    assert (tmp_path / "out" / "transformers" / "model.safetensors").exists()


def test_a_classifier_cannot_be_merged(tmp_path, tiny_config) -> None:
    from tests.integration.commands.test_export import made

    made(tiny_config(), tmp_path / "v", ["fee", "loan"])
    with pytest.raises(InputError, match="--merged is for language models"):
        export(tmp_path / "v", tmp_path / "out", version="1", model="shop", merged=True)
    assert not list(tmp_path.glob("*out*"))
