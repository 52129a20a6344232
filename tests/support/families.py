"""Small encoders of many families with random weights, and tokenizers that are made here: as a user's local folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from tests.support.tiny import WORDS

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
"""In the order of RoBERTa's vocabulary: its padding has id 1, and its positions begin after that."""
POSITIONS = 24
"""What every table of positions here permits, tokens that the tokenizer adds included."""

LONGER = 4 * POSITIONS
"""Words of a text that no bounded family reads whole."""

SIZES = {
    "vocab_size": 320,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": POSITIONS,
}
OFFSET = {"max_position_embeddings": POSITIONS + 2}
"""For families whose positions begin after the id of their padding."""
DECODER = {"num_key_value_heads": 1, "head_dim": 16}


@dataclass(frozen=True)
class Family:
    """A kind of encoder: the class that writes its checkpoint, and what its configuration changes.

    ``causal``: its tokenizer adds no tokens to a text, and each token sees only those before it. ``bytes``: the
    tokenizer pairs bytes, and a space belongs to the word after it. ``bounded``: its positions are.
    """

    model: str
    changes: dict[str, Any] = field(default_factory=dict)
    causal: bool = False
    bytes: bool = False
    bounded: bool = True

    def save(self, folder: Path, *, pad: bool, **tokenizer: Any) -> Path:
        """Write a checkpoint with random weights and its tokenizer into a new folder."""
        import torch
        import transformers

        kind = getattr(transformers, self.model)
        torch.manual_seed(0)
        sizes = {**SIZES, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, **self.changes}
        model = kind(kind.config_class(**{name: value for name, value in sizes.items() if value is not None}))
        model.save_pretrained(folder)
        made_tokenizer(causal=self.causal, bytes=self.bytes, pad=pad, **tokenizer).save_pretrained(folder)
        return folder


def made_tokenizer(*, causal: bool = False, bytes: bool = False, pad: bool = True, **changes: Any) -> Any:
    """Return a fast tokenizer over the words of the tests; one for a causal model adds no tokens to a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    if bytes:
        rules = Tokenizer(models.BPE())
        rules.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=SIZES["vocab_size"], special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
        )
        rules.train_from_iterator([" ".join(WORDS)] * 2, trainer)
    else:
        pieces = [*SPECIAL, *WORDS, "##s", "##ly"]
        rules = Tokenizer(models.WordPiece({piece: index for index, piece in enumerate(pieces)}, unk_token="<unk>"))
        rules.pre_tokenizer = pre_tokenizers.Whitespace()
    if not causal:
        rules.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
        )
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", **({"pad_token": "<pad>"} if pad else {})}
    return PreTrainedTokenizerFast(tokenizer_object=rules, **names, **changes)


FAMILIES = {
    "bert": Family("BertForMaskedLM"),
    "roberta": Family("RobertaForMaskedLM", OFFSET, bytes=True),
    "xlm-roberta": Family("XLMRobertaModel", OFFSET),
    "distilbert": Family("DistilBertModel"),
    "albert": Family("AlbertForMaskedLM", {"embedding_size": 16}),
    "electra": Family("ElectraForPreTraining", {"embedding_size": 16}),
    "deberta-v2": Family("DebertaV2ForMaskedLM", {"relative_attention": True, "position_biased_input": False}),
    "mpnet": Family("MPNetModel", OFFSET),
    "longformer": Family("LongformerModel", {**OFFSET, "attention_window": [4, 4]}, bytes=True),
    "modernbert": Family("ModernBertForMaskedLM", {"global_attn_every_n_layers": 2, "local_attention": 8}, bytes=True),
    "gpt2": Family("GPT2LMHeadModel", causal=True, bytes=True),
    "llama": Family("LlamaForCausalLM", DECODER, causal=True),
    "mistral": Family("MistralForCausalLM", {**DECODER, "sliding_window": 8}, causal=True),
    "qwen2": Family("Qwen2ForCausalLM", DECODER, causal=True, bytes=True),
    "qwen3": Family("Qwen3ForCausalLM", DECODER, causal=True, bytes=True),
    "gemma": Family("GemmaForCausalLM", DECODER, causal=True),
    "gemma3": Family("Gemma3ForCausalLM", {**DECODER, "sliding_window": 8}, causal=True),
    "t5": Family(
        "T5ForConditionalGeneration",
        {"d_kv": 16, "d_ff": 64, "decoder_start_token_id": 1, "max_position_embeddings": None},
        bounded=False,
    ),
}


def texts(*lengths: int) -> pd.DataFrame:
    """Return rows with texts of so many words."""
    words = [" ".join(WORDS[(row + index) % len(WORDS)] for index in range(n)) for row, n in enumerate(lengths)]
    ids = [str(n) for n in range(len(lengths))]
    return pd.DataFrame({"id": ids, "text": words, "label": "fee", "date": None})


def sentences(*lengths: int) -> pd.DataFrame:
    """Return the same rows as tagged words."""
    rows = texts(*lengths)
    words = rows["text"].str.split()
    tags = [["B-PER", *["O"] * (len(row) - 1)] for row in words]
    return pd.DataFrame({"id": rows["id"], "tokens": words, "tags": tags, "date": None})
