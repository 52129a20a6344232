"""Tokenizers and embeddings are cut down, and read what they know as before."""

from __future__ import annotations

import copy

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from cl.compression.prune_vocabulary import narrow_embeddings, narrow_tokenizer, tokens_to_keep
from cl.errors import ConfigError
from cl.models.build import new_learner
from cl.models.persistence import load_learner, save_learner

TEXTS = ["my card is lost", "the parcel of anna", "pays slowly"]


@pytest.fixture
def learner(tiny_config):
    return new_learner(tiny_config())


def used(tokenizer, texts):
    return {id for ids in tokenizer(texts)["input_ids"] for id in ids}


def test_texts_whose_tokens_are_kept_read_the_same(learner) -> None:
    old = learner.tokenizer
    kept = tokens_to_keep(old, used(old, TEXTS), 1)
    new, encoder = narrow_tokenizer(old, kept), copy.deepcopy(learner.encoder)
    narrow_embeddings(encoder, kept)
    assert len(new) == len(kept) < len(old) and encoder.config.vocab_size == len(kept)
    for text in TEXTS:
        before, after = old(text), new(text)
        assert new.convert_ids_to_tokens(after["input_ids"]) == old.convert_ids_to_tokens(before["input_ids"])
        with torch.inference_mode():
            states = [
                one(input_ids=torch.tensor([ids["input_ids"]])).last_hidden_state
                for one, ids in ((learner.encoder.eval(), before), (encoder.eval(), after))
            ]
        assert torch.equal(*states)


def test_special_tokens_stay_and_are_found_again(learner) -> None:
    old = learner.tokenizer
    new = narrow_tokenizer(old, tokens_to_keep(old, used(old, TEXTS[:1]), 1))
    assert new.special_tokens_map == old.special_tokens_map
    assert new.convert_ids_to_tokens(new("a zebra")["input_ids"]) == ["[CLS]", "[UNK]", "[UNK]", "[SEP]"]
    assert new.pad_token_id == new.get_vocab()["[PAD]"]


def test_the_first_tokens_fill_up(learner) -> None:
    kept = tokens_to_keep(learner.tokenizer, [30], 12)
    assert len(kept) == 12 and 30 in kept and set(range(10)) <= set(kept)


def test_a_narrowed_learner_is_saved_and_loaded(learner, tmp_path) -> None:
    from dataclasses import replace

    kept = tokens_to_keep(learner.tokenizer, used(learner.tokenizer, TEXTS), 1)
    narrow_embeddings(learner.encoder, kept)
    save_learner(replace(learner, tokenizer=narrow_tokenizer(learner.tokenizer, kept)), tmp_path)
    again = load_learner(tmp_path)
    assert again.tokenizer(TEXTS)["input_ids"] == narrow_tokenizer(learner.tokenizer, kept)(TEXTS)["input_ids"]
    assert len(again.encoder.get_input_embeddings().weight) == len(kept) == len(again.tokenizer)


def test_another_kind_of_tokenizer_is_refused(learner, tmp_path) -> None:
    byte_pairs = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, "[UNK]": 2}, merges=[], unk_token="[UNK]"))
    PreTrainedTokenizerFast(tokenizer_object=byte_pairs, unk_token="[UNK]").save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="BPE tokenizer cannot be narrowed, only WordPiece; set it to null"):
        tokens_to_keep(AutoTokenizer.from_pretrained(tmp_path), [0], 1)
