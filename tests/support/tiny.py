"""Small real things that tests are made of: a tiny BERT with random weights, rows, a project, a registry's database."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

if TYPE_CHECKING:
    from cl.stores.ledger.ledger import Ledger
    from cl.stores.mlflow.registry import Registry
    from cl.stores.project_folder import ProjectFolder

WORDS = [
    "my", "card", "is", "lost", "stolen", "where", "the", "parcel", "order", "money", "loan", "fee",
    "please", "help", "new", "old", "pay", "send", "back", "broken", "box", "shoe", "lamp", "tuesday",
    "york", "paris", "bank", "visited", "lives", "in", "anna", "ben", "said", "goes", "to", "from",
    "works", "at",
]  # fmt: skip


def made_tiny_model(folder: Path) -> Path:
    """Save a two-layer BERT with random weights, and its tokenizer, in a folder."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast  # type: ignore[attr-defined]

    folder.mkdir(exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "##s", "##ly"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    BertTokenizerFast(vocab={word: at for at, word in enumerate(vocabulary)}).save_pretrained(folder)
    return folder


def made_tiny_writer(folder: Path, tokenizer: Path, *, kind: str = "llama", positions: int = 128) -> Path:
    """Save a two-layer language model with random weights, and the tokenizer of a folder, with a token that ends texts.

    Args:
        folder: where it is saved.
        tokenizer: of `made_tiny_model`.
        kind: llama or gpt2, or with a decoder of its own t5, bart or marian.
        positions: how many tokens a prompt and its answer may have; of llama.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    words = AutoTokenizer.from_pretrained(tokenizer)
    words.eos_token = words.sep_token
    torch.manual_seed(0)
    start = words.pad_token_id
    ids = {"pad_token_id": start, "eos_token_id": words.eos_token_id, "bos_token_id": words.cls_token_id}
    layers = {
        "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 128,
        "decoder_start_token_id": start, "forced_eos_token_id": None,
    }  # fmt: skip
    sizes = {
        "llama": {
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
            "max_position_embeddings": positions, "tie_word_embeddings": True, "attention_bias": True,
        },
        "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128},
        "t5": {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": start},
        "bart": layers,
        "marian": layers,
    }  # fmt: skip
    configured: Any = CONFIG_MAPPING[kind]
    config = configured(vocab_size=len(words), **sizes[kind], **ids)
    writes: Any = AutoModelForSeq2SeqLM if kind in ("t5", "bart", "marian") else AutoModelForCausalLM
    writes.from_config(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def made_sentences(labels: list[str], rows: int, seed: int = 0, prefix: str = "r") -> pd.DataFrame:
    """Make rows of the given labels in turn."""
    rng = np.random.default_rng(seed)
    chosen = [labels[at % len(labels)] for at in range(rows)]
    texts = [
        " ".join([*rng.choice(WORDS, size=int(rng.integers(2, 9))), WORDS[sum(map(ord, label)) % 25], label])
        for label in chosen
    ]
    ids = [f"{prefix}{seed}-{at}" for at in range(rows)]
    return pd.DataFrame({"id": ids, "text": texts, "label": chosen, "date": None})


QUICK = {"epochs": 2, "batch_size": 8, "learning_rate": 3e-3, "head_learning_rate": 1e-2, "precision": "float32"}
"""Settings of a training that is over at once, for tests in which it does not matter how well a version answers."""


def tiny_project(folder: Path, tiny_model: Path, **changes: object) -> ProjectFolder:
    """Make a project that reads its inbox and learns in a second; keyword arguments replace top-level keys."""
    from cl.commands.init import scaffold

    raw = {
        "name": "shop",
        "model": {"name": str(tiny_model), "dropout": 0.0},
        "training": {
            "epochs": 25,
            "batch_size": 8,
            "learning_rate": 3e-3,
            "head_learning_rate": 1e-2,
            "precision": "float32",
        },
        "data": {"source": {"name": "files", "path": "inbox"}, "split": {"validation": 0.1, "test": 0.3}},
        "drift": {"report": "off"},
        "gates": [{"name": "floor", "min": 0.1}],
        "evaluation": {"smoke_rows": 0, "baselines": False},  # a fresh process takes longer than all the rest
        "triggers": {"settle_seconds": 0},
        **({} if "ladder" in changes else {"strategy": "replay"}),
        **changes,
        # with a handful of rows, any might be worth learning: where nothing else is said, drift decides
        "decide": {"min_gain": None, **changes.get("decide", {})},  # type: ignore[dict-item]
    }
    project = scaffold(folder, yaml.safe_dump(raw))
    (project.root / "inbox").mkdir()
    (project.root / "mlflow" / "mlflow.db").write_bytes(mlflow_database())
    return project


@functools.cache
def mlflow_database() -> bytes:
    """Return a database as MLflow makes it: each of its own would be made by all of MLflow's migrations, in seconds."""
    from mlflow import MlflowClient

    with tempfile.TemporaryDirectory() as folder:
        MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
        return Path(folder, "mlflow.db").read_bytes()


def serve(registry: Registry, ledger: Ledger, *versions: str) -> None:
    """Let versions that passed serve, one after the other."""
    from cl.promotion.promote import promote
    from cl.records import Registration

    for version in versions:
        passed = Registration(version=version, passed=True)
        promote(registry, ledger, passed, expected=ledger.champion(registry.model), why="test")
