from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import torch

from cl.errors import ConfigError
from cl.models.build import change_tuning, freeze_all_but_tuned, grow_labels, new_learner
from cl.models.inference import answer, predict
from cl.models.persistence import load_learner, save_learner
from cl.models.pretrained import load_encoder, load_tokenizer
from tests.support import warm


def test_a_saved_learner_answers_the_same_in_another_process(tiny_config, sentences, tmp_path) -> None:
    rows = sentences(["loan", "fee", "box"], 12)
    learner = grow_labels(new_learner(tiny_config()), ["loan", "fee"], seed=1)
    learner = grow_labels(learner, ["box"], seed=2)
    save_learner(learner, tmp_path)
    here = [(one.value, round(one.confidence, 5)) for one in predict(learner, rows)]
    code = (
        "import sys, pandas as pd; from pathlib import Path\n"
        "from cl.models.persistence import load_learner; from cl.models.inference import predict\n"
        "rows = pd.read_parquet(sys.argv[2]); learner = load_learner(Path(sys.argv[1]))\n"
        "print([(p.value, round(p.confidence, 5)) for p in predict(learner, rows)])"
    )
    rows.to_parquet(tmp_path / "rows.parquet")
    there = warm.python(code, str(tmp_path), str(tmp_path / "rows.parquet"))
    assert there.stdout.strip() == str(here)


def test_nothing_is_saved_as_pickle(tiny_config, tmp_path) -> None:
    save_learner(grow_labels(new_learner(tiny_config()), ["a"], seed=0), tmp_path)
    suffixes = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert suffixes <= {".json", ".safetensors", ".txt"}


def test_growing_keeps_known_labels_in_place(tiny_config) -> None:
    learner = grow_labels(grow_labels(new_learner(tiny_config()), ["b", "a"], seed=0), ["a", "c"], seed=0)
    assert learner.labels == ["b", "a", "c"]
    assert learner.head.sizes == [2, 1]


def test_answers_come_in_the_order_of_the_rows_and_padding_does_not_change_them(tiny_config, sentences) -> None:
    rows = sentences(["loan", "fee", "box"], 30)
    learner = grow_labels(new_learner(tiny_config()), ["loan", "fee", "box"], seed=1)
    together = answer(learner, rows, batch_size=16)
    alone = pd.concat([pd.DataFrame(answer(learner, rows.iloc[[at]]).embeddings) for at in range(len(rows))])
    torch.testing.assert_close(torch.tensor(together.embeddings), torch.tensor(alone.to_numpy()), rtol=1e-4, atol=1e-5)


def test_frozen_encoder_leaves_only_the_head(tiny_config, tiny_model) -> None:
    learner = grow_labels(new_learner(tiny_config(model={"name": str(tiny_model), "tuning": "head"})), ["a"], seed=0)
    freeze_all_but_tuned(learner)
    assert {name.split(".")[0] for name, _ in learner.parameters()} == {"head"}


def test_a_model_that_is_not_there_is_one_line(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"model.name '.*nowhere' cannot be loaded") as error:
        load_encoder(str(tmp_path / "nowhere"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("load", [load_encoder, load_tokenizer])
@pytest.mark.parametrize("name", ["./nowhere", "../nowhere/at-all", "/nowhere", "~/nowhere"])
def test_a_folder_that_is_not_there_is_named(load, name) -> None:
    with pytest.raises(ConfigError, match=rf"there is no folder {re.escape(str(Path(name).resolve()))}$"):
        load(name)


@pytest.mark.parametrize("load", [load_encoder, load_tokenizer])
@pytest.mark.parametrize("name", ["distilbert-base-uncased", "my-org/my-encoder"])
def test_a_hub_that_does_not_answer_is_one_line_with_the_remedy(load, name) -> None:
    with pytest.raises(ConfigError, match=f"model.name '{name}' .*the Hugging Face Hub does not answer.*name a folder"):
        load(name)


def test_pickled_weights_are_refused(tiny_model, tmp_path) -> None:
    (tmp_path / "config.json").write_text((tiny_model / "config.json").read_text())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_encoder(str(tmp_path))


def test_loading_goes_on_from_what_was_saved(tiny_config, tmp_path) -> None:
    learner = grow_labels(new_learner(tiny_config()), ["a", "b"], seed=1)
    save_learner(learner, tmp_path)
    loaded = load_learner(tmp_path)
    assert loaded.labels == ["a", "b"] and loaded.task.name == "text_classification"
    for (name, one), (_, other) in zip(learner.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(one, other), name


def test_texts_are_cut_where_the_encoder_has_no_more_positions(tiny_config, tiny_model, caplog) -> None:
    config = tiny_config(model={"name": str(tiny_model), "max_length": 5_000})
    most = new_learner(config).encoder.config.max_position_embeddings
    assert new_learner(config).settings.max_length == most < 5_000
    assert change_tuning(new_learner(config), config.model).settings.max_length == most
    assert f"reads {most} tokens at most, not 5000" in caplog.text
