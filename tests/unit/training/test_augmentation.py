"""Texts of training rows are changed at random, drawn in each epoch, and keep their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from transformers import BertConfig, BertForMaskedLM

from cl.config import AugmentSettings
from cl.errors import ConfigError
from cl.models.build import grow_labels, new_learner
from cl.models.learner import Learner
from cl.models.pretrained import load_tokenizer
from cl.training.augmentation import Augmentation, MaskedModel, drop_words
from tests.support.tiny import made_sentences

WORDS = "the quick brown fox jumps over the lazy dog again"


@pytest.fixture
def learner(tiny_config) -> Learner:
    return grow_labels(new_learner(tiny_config()), ["loan", "fee"], seed=0)


@pytest.fixture(scope="module")
def masked(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked language model with random weights and the tiny model's tokenizer."""
    folder = tmp_path_factory.mktemp("masked")
    tokenizer = load_tokenizer(str(tiny_model))
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        pad_token_id=tokenizer.pad_token_id,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    return folder


def test_words_are_dropped_in_order_in_the_share_asked_for_and_one_stays() -> None:
    words = [str(number) for number in range(4_000)]
    kept = drop_words(" ".join(words), np.random.default_rng(0), share=0.25).split()
    assert kept == sorted(kept, key=int) and set(kept) < set(words)
    assert 2_900 < len(kept) < 3_100
    assert drop_words("one two", np.random.default_rng(0), share=0.999) == "one"
    assert drop_words("", np.random.default_rng(0), share=0.5) == ""


def test_a_share_of_the_rows_gets_other_tokens_and_the_same_targets(learner: Learner) -> None:
    rows = pd.DataFrame({"id": [str(number) for number in range(400)], "text": WORDS, "label": ["loan", "fee"] * 200})
    before = learner.encode(rows)
    augmentation = Augmentation(AugmentSettings(share=0.4, word_dropout=0.5, typing_errors=0.0), learner)
    after = augmentation.encode(rows, before, np.random.default_rng(1))
    changed = sum(own.input_ids != old.input_ids for own, old in zip(after, before, strict=True))
    assert 120 < changed < 200
    assert [row.targets for row in after] == [row.targets for row in before]


def test_each_epoch_has_its_own_draw_and_the_same_numbers_change_the_same(learner: Learner) -> None:
    rows = made_sentences(["loan", "fee"], 30)
    before, rng = learner.encode(rows), np.random.default_rng(2)
    augmentation = Augmentation(AugmentSettings(share=1.0, word_dropout=0.3, typing_errors=0.3), learner)
    first, second = (augmentation.encode(rows, before, rng) for _ in range(2))
    again = augmentation.encode(rows, before, np.random.default_rng(2))
    assert [row.input_ids for row in first] == [row.input_ids for row in again]
    assert [row.input_ids for row in first] != [row.input_ids for row in second]
    assert [row.input_ids for row in before] == [row.input_ids for row in learner.encode(rows)]


def test_a_masked_model_replaces_words_and_leaves_the_others_where_they_are(masked: Path) -> None:
    texts = made_sentences(["loan", "fee"], 50)["text"].tolist()
    model = MaskedModel(str(masked), 0.2)
    replaced = model.replace(texts, np.random.default_rng(0))
    assert model.replace(texts, np.random.default_rng(0)) == replaced
    pairs = [
        (old, new)
        for text, other in zip(texts, replaced, strict=True)
        for old, new in zip(text.split(), other.split(), strict=True)
    ]
    assert 0.1 < np.mean([old != new for old, new in pairs]) < 0.4
    assert not any("[" in new or new.startswith("##") for _, new in pairs)
    assert model.replace(["", "loan"], np.random.default_rng(0))[0] == ""


def test_a_model_that_fills_no_masks_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="was not trained to fill masks"):
        MaskedModel(str(tiny_model), 0.1)
    with pytest.raises(ConfigError, match="nowhere"):
        MaskedModel(str(tmp_path / "nowhere"), 0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"word_dropout": 0, "typing_errors": 0}, "are all 0; raise one"),
        ({"replaced_words": 0.1}, "replaced_words and masked_model need each other"),
        ({"masked_model": "some"}, "replaced_words and masked_model need each other"),
    ],
)
def test_settings_that_change_nothing_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AugmentSettings(**settings)
