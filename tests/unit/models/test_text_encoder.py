"""Texts are embedded as each alone would be, by encoders and decoders."""

import numpy as np
import pytest
import torch

from cl.models.pretrained import load_pretrained
from cl.models.text_encoder import embed_texts
from tests.support.tiny import made_tiny_writer

TEXTS = ["please help the old card", "", "where is my parcel", "card", " ".join(["money"] * 900)]


def test_each_text_is_the_mean_of_its_states_in_any_batch(tiny_model) -> None:
    together = embed_texts(str(tiny_model), TEXTS)
    assert together.shape[0] == len(TEXTS) and together.dtype == np.float32 and np.isfinite(together).all()
    for text, own in zip(TEXTS, together, strict=True):
        assert embed_texts(str(tiny_model), [text])[0] == pytest.approx(own, abs=1e-5)
    encoder, tokenizer = load_pretrained(str(tiny_model), split_words=False)
    with torch.no_grad():
        states = encoder.eval()(**tokenizer(TEXTS[0], return_tensors="pt")).last_hidden_state
    assert together[0] == pytest.approx(states[0].mean(0).numpy(), abs=1e-5)


def test_a_decoder_is_read_at_its_last_token(tiny_model, tmp_path) -> None:
    model = made_tiny_writer(tmp_path / "writer", tiny_model)
    encoder, tokenizer = load_pretrained(str(model), split_words=False)
    with torch.no_grad():
        states = encoder.eval()(**tokenizer(TEXTS[0], return_tensors="pt")).last_hidden_state
    assert embed_texts(str(model), TEXTS[:1])[0] == pytest.approx(states[0, -1].numpy(), abs=1e-5)
