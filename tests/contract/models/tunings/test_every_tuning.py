"""What holds for every file in cl/models/tunings, also for those that are yet to come."""

from __future__ import annotations

import pytest
import torch

from cl import plugins
from cl.errors import ConfigError
from cl.models.build import change_tuning, freeze_all_but_tuned, grow_labels, new_learner
from cl.models.inference import predict
from cl.models.persistence import load_learner, save_learner
from cl.training.train import train
from tests.support.batches import batch_of

MODES = plugins.names("tunings")
LENGTH = 48
"""Of the tiny model's 64 positions, virtual tokens take 16."""


@pytest.fixture
def learner_with(tiny_config, tiny_model):
    def make(mode):
        torch.manual_seed(0)
        config = tiny_config(model={"name": str(tiny_model), "tuning": mode, "dropout": 0.0, "max_length": LENGTH})
        learner = grow_labels(new_learner(config), ["loan", "fee"], seed=1)
        learner.eval_mode()
        return learner

    return make


def logits(learner, rows):
    coded = learner.tokenizer(list(rows["text"]), padding=True, return_tensors="pt")
    with torch.inference_mode():
        return learner.logits(batch_of(coded["input_ids"], coded["attention_mask"]))


@pytest.mark.parametrize("mode", MODES)
def test_an_encoder_answers_as_before_until_it_is_trained(mode, learner_with, sentences) -> None:
    rows = sentences(["loan", "fee"], 6)
    same = torch.equal(logits(learner_with("full"), rows), logits(learner_with(mode), rows))
    assert same == learner_with(mode).tuning.starts_neutral
    assert same == (mode not in ("prompt", "prefix"))


@pytest.mark.parametrize("mode", MODES)
def test_only_what_the_mode_names_moves_and_it_does_move(mode, tiny_config, tiny_model, sentences, tmp_path) -> None:
    model = {"name": str(tiny_model), "tuning": mode, "dropout": 0.0, "max_length": LENGTH}
    config = tiny_config(model=model, strategy="naive")
    train(config, champion=None, new=["a"], past=[], rows_of=lambda i, s: sentences(["fee"], 8), folder=tmp_path / "1")
    before, start = load_learner(tmp_path / "1"), load_learner(tmp_path / "1")
    freeze_all_but_tuned(before)
    may_move = {name for name, p in before.encoder.named_parameters() if p.requires_grad}
    rows = sentences(["fee", "loan"], 24)
    train(config, champion=tmp_path / "1", new=["b"], past=["a"], rows_of=lambda i, s: rows, folder=tmp_path / "2")
    after = dict(load_learner(tmp_path / "2").encoder.named_parameters())
    moved = {name for name, p in start.encoder.named_parameters() if not torch.equal(p, after[name])}
    assert moved <= may_move
    assert moved or mode == "head"


@pytest.mark.parametrize("mode", MODES)
def test_a_saved_learner_answers_the_same(mode, learner_with, sentences, tmp_path) -> None:
    learner, rows = learner_with(mode), sentences(["loan", "fee"], 6)
    with torch.no_grad():
        freeze_all_but_tuned(learner)
        for _, parameter in learner.parameters():
            parameter.add_(0.02)
    save_learner(learner, tmp_path)
    assert torch.equal(logits(load_learner(tmp_path), rows), logits(learner, rows))


@pytest.mark.parametrize("mode", MODES)
def test_another_mode_goes_on_from_the_same_answers_or_is_refused(mode, learner_with, sentences) -> None:
    learner, rows = learner_with(mode), sentences(["loan", "fee"], 6)
    freeze_all_but_tuned(learner)
    with torch.no_grad():
        for parameter in learner.tuning.moving(learner.encoder):
            parameter.add_(0.02)
    before = logits(learner, rows)
    other = learner.settings.model_copy(update={"tuning": "full" if mode != "full" else "lora"})
    if learner.tuning.merge(learner_with(mode).encoder) is None:
        with pytest.raises(ConfigError, match=f"tuned with '{mode}' cannot go on"):
            change_tuning(learner, other)
    else:
        torch.testing.assert_close(logits(change_tuning(learner, other), rows), before, rtol=1e-4, atol=1e-5)


def test_a_parameter_efficient_mode_moves_few_parameters(learner_with) -> None:
    def share(mode: str) -> float:
        learner = learner_with(mode)
        moving = sum(p.numel() for p in learner.tuning.moving(learner.encoder))
        return moving / sum(p.numel() for p in learner.encoder.parameters())

    assert share("head") == 0
    assert 0 < share("bitfit") < 0.05
    assert 0 < share("ia3") < 0.05
    assert 0.4 < share("top_layers") <= 1  # the tiny encoder has two layers


@pytest.mark.parametrize("mode", MODES)
def test_the_longest_text_has_positions_beside_virtual_tokens_or_the_model_is_refused(
    mode, learner_with, tiny_config, tiny_model, sentences
) -> None:
    longest = sentences(["loan"], 1).assign(text=" ".join(["loan"] * 100))
    learner = learner_with(mode)
    (coded,) = learner.encode(longest)
    assert len(coded.input_ids) == LENGTH and len(predict(learner, longest)) == 1
    config = tiny_config(model={"name": str(tiny_model), "tuning": mode, "max_length": LENGTH + 1})
    if learner.tuning.virtual_tokens == 0:
        assert change_tuning(learner, config.model) and new_learner(config)
        return
    told = f"max_length 49 and the 16 virtual tokens of model.tuning '{mode}' exceed the 64 positions of .* to 48"
    for begun in (lambda: new_learner(config), lambda: change_tuning(learner, config.model)):
        with pytest.raises(ConfigError, match=told):
            begun()


def test_frozen_layers_stay_out_of_a_full_tuning(learner_with) -> None:
    learner = learner_with({"name": "full", "frozen_layers": 1})
    freeze_all_but_tuned(learner)
    moving = [name for name, _ in learner.parameters() if name.startswith("encoder.")]
    assert moving and all(".layer.1." in name for name in moving)
