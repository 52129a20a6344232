"""A project that writes its answers, with versions of random updates over one base in a real registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cl import config as configuration
from cl.evaluation.text_files import read_general
from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.models.persistence import save_learner
from cl.models.probes import save_probes, take_probes
from cl.records.history import History
from cl.stores.manifest import write_manifest
from cl.stores.stores import open_stores
from cl.stores.version_folder import save_history
from tests.support.serving_shop import Shop
from tests.support.tiny import made_tiny_writer, tiny_project

POSITIONS = 4_096
"""So many tokens may a prompt and its answer have: an answer can take seconds."""


def save_writer(config: configuration.Config, folder: Path, *, seed: int) -> Path:
    """Save a version whose updates are drawn at random, so that each says something of its own."""
    learner = grow_labels(new_learner(config), ["text"], seed=0)
    freeze_all_but_tuned(learner)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, parameter in learner.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw) * 0.3)
    folder.mkdir(parents=True)
    save_learner(learner, folder)
    save_probes(take_probes(learner, read_general(None, folder)), folder)
    return folder


def made_writing_shop(
    folder: Path,
    tiny_model: Path | None,
    *,
    versions: tuple[int, ...] = (1, 2),
    serve: dict[str, Any],
    source: dict[str, Any] | None = None,
    **model: Any,
) -> Shop:
    """Make a project with registered versions and no champion; without a tiny model, it writes bytes."""
    base = folder.with_name(f"{folder.name}-base")
    writer = made_tiny_writer(base, tiny_model, positions=POSITIONS) if tiny_model else made_byte_writer(base)
    raw: dict[str, Any] = {
        "task": {"name": "text_generation", "max_new_tokens": 12},
        "model": {"name": str(writer), "max_length": 64, "dropout": 0.0, **model},
        **({"data": {"source": source}} if source else {}),
        "serve": {"workers": 1, "threads": 1, "poll_seconds": 0.1, "drain_seconds": 0.2, **serve},
    }
    project = tiny_project(folder, writer, **raw)
    config = configuration.load(project.config)
    shop = Shop(project, open_stores(project, config))
    registry = shop.stores.registry
    registry.initialise()
    for number in versions:
        version = save_writer(config, folder / "versions" / str(number), seed=number)
        save_history(History(learnt=["0001-a"], config=config.model_dump(mode="json", by_alias=True)), version)
        write_manifest(version)
        run = registry.runs.start_run(f"cycle-{number}", f"run-{number}", {})
        tags = {"cl.cycle_id": f"cycle-{number}", "cl.gates": "passed"}
        assert registry.log_version(run, version, tags=tags, metrics={}) == str(number)
    return shop


def made_byte_writer(folder: Path) -> Path:
    """Save a causal model of random weights that writes single bytes, so that any text is within its reach."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytes_alone = Tokenizer(models.BPE(vocab={letter: at for at, letter in enumerate(letters)}, merges=[]))
    bytes_alone.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_alone.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bytes_alone, eos_token="<end>", pad_token="<pad>", bos_token="<start>"
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=POSITIONS, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
