"""What holds for an encoder of any family that transformers loads, through Perennial's own code."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest
import torch

from cl import plugins
from cl.compression.distil import distil
from cl.errors import ConfigError
from cl.models.build import new_learner
from cl.models.inference import answer
from cl.models.persistence import load_learner, save_learner
from cl.models.rewrites import quantise_learner
from cl.training.train import train
from tests.support.families import FAMILIES, LONGER, POSITIONS, made_tokenizer, sentences, texts
from tests.support.tiny import made_sentences

QUICK = ("bert", "roberta", "longformer", "modernbert", "gpt2", "qwen2", "t5")
"""Families that differ most: positions, padding, windows, weights that are shared, tokenizers without padding."""
ALL = [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.nightly]) for name in FAMILIES]
PAD = [True, pytest.param(False, id="no-pad")]

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("tuning", ["full", "lora"])
@pytest.mark.parametrize("pad", PAD)
@pytest.mark.parametrize("family", ALL)
def test_it_learns_is_stored_answers_and_has_a_student(family, pad, tuning, tiny_config, folder, tmp_path) -> None:
    name = str(FAMILIES[family].save(folder, pad=pad))
    rows, config = (
        made_sentences(["loan", "fee"], 12),
        tiny_config(
            model={"name": name, "tuning": tuning, "dropout": 0.0, "max_length": LONGER},
            training={"epochs": 1, "batch_size": 4, "precision": "float32"},
            strategy="naive",
            distil={"student": {"layers": 1}, "epochs": 1},
        ),
    )
    held_out = {"train": rows, "validation": rows.iloc[:0]}
    first, second, student = (tmp_path / version for version in ("1", "2", "student"))
    train(config, champion=None, new=["a"], past=[], rows_of=lambda i, split: held_out[split], folder=first)
    train(config, champion=first, new=["b"], past=["a"], rows_of=lambda i, split: held_out[split], folder=second)
    learner, long = load_learner(second), texts(1, LONGER)
    assert learner.tokenizer.pad_token_id is not None
    encoded = learner.encode(long)
    most = POSITIONS if FAMILIES[family].bounded else LONGER
    assert learner.settings.max_length == most == max(len(row.input_ids) for row in encoded)
    assert len(answer(learner, long).predictions) == 2
    distil(config, teacher=second, learnt=["a"], rows_of=lambda i, s: held_out[s], unlabelled=rows[:0], folder=student)
    smaller = load_learner(student)
    assert smaller.depth == 1 and len(answer(smaller, rows).predictions) == len(rows)


@pytest.mark.parametrize("task", ["text_classification", "token_classification"])
@pytest.mark.parametrize("family", ALL)
def test_an_answer_is_the_same_alone_and_beside_a_longer_row_and_after_loading(
    family, task, learner_of, tmp_path
) -> None:
    learner, rows = learner_of(family, pad=False, task=task), (texts if task == "text_classification" else sentences)
    both = rows(3, POSITIONS // 4)
    folder = tmp_path / "version"
    folder.mkdir()
    save_learner(learner, folder)
    loaded = load_learner(folder)
    assert loaded.encode(both) == learner.encode(both)
    alone, together = answer(loaded, both.iloc[:1]), answer(learner, both)
    torch.testing.assert_close(alone.embeddings[0], together.embeddings[0], rtol=1e-4, atol=1e-5)
    first, second = alone.predictions[0], together.predictions[0]
    assert first.value == second.value and first.confidence == pytest.approx(second.confidence, abs=1e-5)


@pytest.mark.parametrize("family", ALL)
def test_int8_answers_nearly_the_same_and_is_stored(family, learner_of, tmp_path) -> None:
    learner, rows = learner_of(family), texts(3, 6, 2)
    whole = quantise_learner(learner)
    save_learner(whole, tmp_path)
    exact, rounded, loaded = (answer(one, rows).embeddings for one in (learner, whole, load_learner(tmp_path)))
    assert torch.cosine_similarity(torch.tensor(exact), torch.tensor(rounded)).min() > 0.99
    torch.testing.assert_close(loaded, rounded, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["roberta", "modernbert", "gpt2", "qwen2", "qwen3"])
def test_a_word_in_a_sentence_is_read_with_the_space_before_it(family, learner_of) -> None:
    learner = learner_of(family, task="token_classification")
    (encoded,) = learner.encode(pd.DataFrame({"tokens": [["my", "card"]]}))
    text = learner.tokenizer(" my card", add_special_tokens=False)["input_ids"]
    assert [id for id in encoded.input_ids if id not in (0, 2)] == text


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
@pytest.mark.parametrize("kind", ["text_classification", "token_classification"])
def test_a_text_of_which_the_tokenizer_leaves_nothing_is_answered(family, kind, learner_of) -> None:
    learner = learner_of(family, task=kind)
    rows = {"text": ["", "   ", "loan"]} if kind == "text_classification" else {"tokens": [[""], [" ", "loan"], []]}
    assert len(answer(learner, pd.DataFrame(rows)).predictions) == 3


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", ["roberta", "llama"])
def test_a_long_sentence_is_cut_at_its_end_whatever_the_tokenizer_says(family, side, learner_of) -> None:
    learner = learner_of(family, task="token_classification", truncation_side=side, padding_side=side)
    (long,) = learner.encode(sentences(LONGER))
    (short,) = learner.encode(sentences(2))
    assert len(long.input_ids) == POSITIONS and long.input_ids[:2] == short.input_ids[:2]
    assert len(answer(learner, sentences(LONGER)).values[0]) == LONGER


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("tuning", plugins.names("tunings"))
@pytest.mark.parametrize("family", FAMILIES)
def test_every_tuning_works_or_is_refused_in_one_line(family, tuning, learner_of) -> None:
    spec = {"name": tuning, "tokens": 4} if tuning in ("prefix", "prompt") else tuning
    try:
        learner = learner_of(family, tuning=spec)
    except ConfigError as error:
        assert tuning in str(error) and "\n" not in str(error) and len(str(error)) < 1_000
    else:
        assert len(answer(learner, texts(1, LONGER)).predictions) == 2


def damaged(config_class: str, **sizes: object):
    """Return how to write a checkpoint that is no encoder of texts."""

    def write(folder):
        import transformers

        config = getattr(transformers, config_class)(**sizes)
        transformers.AutoModel.from_config(config).save_pretrained(folder)
        made_tokenizer().save_pretrained(folder)

    return write


BART = damaged("BartConfig", vocab_size=320, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=16,
               decoder_ffn_dim=16, encoder_attention_heads=2, decoder_attention_heads=2)  # fmt: skip
VIT = damaged("ViTConfig", hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
REFORMER = damaged("ReformerConfig", vocab_size=320, hidden_size=32, attn_layers=["local"], feed_forward_size=16,
                   axial_pos_embds=False, local_attn_chunk_length=4, max_position_embeddings=64, is_decoder=True,
                   num_attention_heads=2, attention_head_size=16)  # fmt: skip


def few_embeddings(folder):
    dataclasses.replace(FAMILIES["bert"], changes={"vocab_size": 12}).save(folder, pad=True)


def no_tokenizer(folder):
    FAMILIES["bert"].save(folder, pad=True)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()


def other_tokenizer(folder):
    FAMILIES["qwen2"].save(folder, pad=True)
    made_tokenizer(causal=True).save_pretrained(folder)


def cut_short(folder):
    FAMILIES["bert"].save(folder, pad=True)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])


def foreign_configuration(folder):
    FAMILIES["bert"].save(folder, pad=True)
    (folder / "config.json").write_text('{"model_type": "of-another-time"}')


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (BART, "encoder of a bart without its decoder: name an encoder"),
        (VIT, "ViTModel has no embeddings of tokens"),
        (REFORMER, "ReformerModel gives no states that a head can read: .* of shape"),
        (few_embeddings, "its tokenizer has 44 tokens and its encoder only 12 embeddings: name a model"),
        (no_tokenizer, "its tokenizer leaves nothing of any text: put the"),
        (other_tokenizer, "its tokenizer leaves nothing of any text: put the"),
        (cut_short, "cannot be loaded: "),
        (foreign_configuration, "cannot be loaded: "),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line_that_names_the_model(write, why, tiny_config, folder) -> None:
    write(folder)
    with pytest.raises(ConfigError, match=why) as error:
        new_learner(tiny_config(model={"name": str(folder)}))
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 1_000
