"""A language model as a learner: what it reads and learns of a row, and what a version of it holds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from cl.config import Config, parse
from cl.errors import ConfigError, IntegrityError
from cl.models.build import change_tuning, freeze_all_but_tuned, grow_labels, new_learner
from cl.models.generation import answer_in_words
from cl.models.inference import answer, score_rows
from cl.models.language_learner import LanguageLearner
from cl.models.persistence import load_learner, save_learner
from cl.tasks import IGNORED
from tests.support.tiny import made_tiny_writer

ROWS = pd.DataFrame(
    {
        "id": ["a", "b", "c"],
        "prompt": ["where is my card", "please help me", "the old box is broken and my money is lost"],
        "completion": ["the card is lost", "pay the fee", "send new money"],
    }
)


@pytest.fixture(scope="session", params=["llama", "t5", "bart", "marian"])
def writer(request, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny causal model, or an encoder with a decoder."""
    return made_tiny_writer(tmp_path_factory.mktemp("writer") / "model", tiny_model, kind=request.param)


def config_of(writer: Path, **model: object) -> Config:
    raw = {
        "task": {"name": "text_generation", "max_new_tokens": 6},
        "model": {"name": str(writer), "max_length": 32, "dropout": 0.0, **model},
        "training": {"precision": "float32"},
    }
    return parse(raw, where="test")


@pytest.fixture
def learner(writer: Path) -> LanguageLearner:
    made = grow_labels(new_learner(config_of(writer)), ["text"], seed=0)
    assert isinstance(made, LanguageLearner)
    made.eval_mode()
    return made


def own_loss(learner: LanguageLearner, row: int) -> float:
    """The sum of a row's loss as transformers computes it, of the tokens of the answer alone."""
    encoded = learner.encode(ROWS)[row]
    targets = torch.tensor([encoded.targets])
    if learner.has_decoder:
        out = learner.encoder(input_ids=torch.tensor([encoded.input_ids]), labels=targets)
    else:
        labels = torch.full((1, len(encoded.input_ids)), IGNORED)
        labels[0, len(encoded.context.prompt) :] = targets[0]
        out = learner.encoder(input_ids=torch.tensor([encoded.input_ids]), labels=labels)
    return float(out.loss) * targets.numel()


def test_the_loss_of_a_padded_batch_is_that_of_the_answers_of_its_rows_alone(learner) -> None:
    (batch,) = learner.batches(learner.encode(ROWS), None)
    assert learner.logits(batch).shape[:2] == batch.targets.shape
    whole = float(learner.task.loss(learner.logits(batch), batch.targets, summed=True))
    assert whole == pytest.approx(sum(own_loss(learner, row) for row in range(3)), rel=1e-5)


def test_answers_end_with_the_token_that_ends_texts_and_it_is_learned(learner) -> None:
    for row in learner.encode(ROWS):
        assert row.targets[-1] == learner.tokenizer.eos_token_id and IGNORED not in row.targets


def test_what_is_said_in_a_prompt_changes_no_target(learner) -> None:
    others = ROWS.assign(prompt=ROWS["prompt"] + " please")
    assert [row.targets for row in learner.encode(others)] == [row.targets for row in learner.encode(ROWS)]


def test_an_answer_is_the_same_alone_and_in_a_batch_and_ends_in_time(learner) -> None:
    together = answer_in_words(learner, ROWS)
    for row in range(3):
        (alone,) = answer_in_words(learner, ROWS.iloc[[row]][["prompt"]].reset_index(drop=True)).predictions
        assert alone.value == together.predictions[row].value
        assert alone.confidence == pytest.approx(together.predictions[row].confidence, abs=1e-5)
        assert len(learner.tokenizer(alone.value, add_special_tokens=False)["input_ids"]) <= 6


def test_validation_is_scored_by_how_probable_the_true_answers_are(learner) -> None:
    score, loss = score_rows(learner, ROWS)
    tokens = sum(len(row.targets) for row in learner.encode(ROWS))
    assert loss == pytest.approx(sum(own_loss(learner, row) for row in range(3)) / tokens, rel=1e-5)
    assert score == pytest.approx(2.718281828**-loss)
    assert score_rows(learner, ROWS[["prompt"]])[0] is None


def test_a_long_prompt_keeps_its_end_and_leaves_the_answer_room(learner) -> None:
    long = ROWS.assign(prompt=[" ".join(["card"] * 100) + " please"] * 3)
    row = learner.encode(long)[0]
    last = learner.tokenizer.convert_tokens_to_ids("please")
    if learner.has_decoder:
        assert len(row.input_ids) == 32
    else:
        assert len(row.input_ids) <= 32 and row.context.prompt[-1] == last and len(row.targets) == 5


def changed(learner: LanguageLearner) -> LanguageLearner:
    """The learner after something was learned: its trained parameters are others."""
    freeze_all_but_tuned(learner)
    torch.manual_seed(1)
    with torch.no_grad():
        for _, parameter in learner.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    learner.eval_mode()
    return learner


def test_a_version_has_what_was_trained_and_names_the_rest_by_digest(learner, tmp_path) -> None:
    (tmp_path / "version").mkdir()
    save_learner(changed(learner), tmp_path / "version")
    again, expected = load_learner(tmp_path / "version"), answer(learner, ROWS)
    assert isinstance(again, LanguageLearner) and again.base == learner.base
    answers = answer(again, ROWS)
    assert (answers.values, answers.loss) == (expected.values, expected.loss)
    base = Path(learner.base.name)
    record = json.loads((tmp_path / "version" / "learner.json").read_text())["base"]
    assert set(record["files"]) == {"config.json", "generation_config.json", "model.safetensors"}
    trained = tmp_path / "version" / "encoder" / "model.safetensors"
    assert trained.stat().st_size < (base / "model.safetensors").stat().st_size


def test_a_base_that_was_changed_is_refused(learner, tmp_path) -> None:
    base = shutil.copytree(learner.base.name, tmp_path / "base")
    own = grow_labels(new_learner(config_of(base)), ["text"], seed=0)
    (tmp_path / "version").mkdir()
    save_learner(own, tmp_path / "version")
    with (base / "model.safetensors").open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"\1\2\3\4")
    with pytest.raises(IntegrityError, match="has other files than it was trained on"):
        load_learner(tmp_path / "version")
    shutil.rmtree(base)
    with pytest.raises(IntegrityError, match="is not on this machine"):
        load_learner(tmp_path / "version")


def test_a_project_keeps_a_base_once_and_needs_the_place_it_came_from_no_more(learner, tmp_path) -> None:
    base = shutil.copytree(learner.base.name, tmp_path / "base")
    own = grow_labels(new_learner(config_of(base)), ["text"], seed=0)
    assert isinstance(own, LanguageLearner)
    project = tmp_path / "shop"
    for version in ("1", "2"):
        folder = project / ".cl" / "versions" / version
        folder.mkdir(parents=True)
        (project / "cl.yaml").touch()
        save_learner(own, folder)
    (kept,) = (project / ".cl" / "bases").iterdir()
    assert kept.name == own.base.digest
    shutil.rmtree(base)
    moved = project.rename(tmp_path / "moved")
    assert answer(load_learner(moved / ".cl" / "versions" / "2"), ROWS).values == answer(own, ROWS).values


def test_a_version_goes_on_with_its_tuning_alone(learner, writer) -> None:
    other = config_of(writer, tuning="full").model
    with pytest.raises(ConfigError, match="cannot be merged: keep it, or start again with strategy"):
        change_tuning(learner, other)
    assert change_tuning(learner, learner.settings).encoder is learner.encoder


def test_an_encoder_is_refused_by_its_name(tiny_model) -> None:
    with pytest.raises(ConfigError, match=r"tiny.*bert does not write text: name a causal model"):
        new_learner(config_of(tiny_model))


def test_lora_adapts_the_layers_between_the_attention(learner) -> None:
    adapted = {name.split(".")[-4] for name, _ in learner.encoder.named_parameters() if "lora_A" in name}
    own = {"llama": {"gate_proj", "up_proj", "down_proj"}, "t5": {"wi", "wo"}}
    assert adapted == own.get(learner.encoder.config.model_type, {"fc1", "fc2"})


def test_bfloat16_halves_the_base_and_leaves_what_is_trained_in_float32(writer) -> None:
    made = new_learner(config_of(writer, dtype="bfloat16"))
    freeze_all_but_tuned(made)
    assert all(parameter.dtype == torch.float32 for _, parameter in made.parameters())
    assert made.encoder.get_input_embeddings().weight.dtype == torch.bfloat16
    assert len(answer(grow_labels(made, ["text"], seed=0), ROWS).predictions) == 3
