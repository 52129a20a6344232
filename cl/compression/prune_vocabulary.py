"""Prune a tokenizer and its embeddings, half of a small encoder's parameters, to the tokens that a stream uses."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from cl.errors import ConfigError

CONTINUED = "##"


def tokens_to_keep(tokenizer: PreTrainedTokenizerBase, used: Iterable[int], at_least: int) -> list[int]:
    """Return the ids to keep, in order: special tokens, single characters, used tokens, then the lowest ids.

    Single characters are kept so that unseen words can still be read piece by piece. In vocabularies such as BERT's
    the first pieces are the most frequent ones in the language.

    Raises:
        ConfigError: the tokenizer is not WordPiece, the only kind whose other pieces do not depend on removed ones.
    """
    model = _tokenizer_rules(tokenizer)["model"]
    if model["type"] != "WordPiece":
        raise ConfigError(
            f"distil.student.vocabulary: a {model['type']} tokenizer cannot be narrowed, only WordPiece; set it to null"
        )
    prefix = model.get("continuing_subword_prefix", CONTINUED)
    size = len(tokenizer)
    kept = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values(), *used}
    kept |= {id for piece, id in model["vocab"].items() if len(piece.removeprefix(prefix)) == 1}
    for id in range(size):
        if len(kept) >= at_least:
            break
        kept.add(id)
    return sorted(kept)


def narrow_tokenizer(tokenizer: PreTrainedTokenizerBase, kept: list[int]) -> PreTrainedTokenizerBase:
    """Return a tokenizer that knows only these ids, renumbered in their order.

    A text whose pieces are all kept is split as before: WordPiece takes the longest piece that it knows, and none was
    added.
    """
    new_ids = {old: new for new, old in enumerate(kept)}
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        (Path(folder) / "vocab.txt").unlink(missing_ok=True)  # otherwise it might be read instead of tokenizer.json
        file = Path(folder) / "tokenizer.json"
        rules = json.loads(file.read_text(encoding="utf-8"))
        vocabulary = rules["model"]["vocab"]
        rules["model"]["vocab"] = {piece: new_ids[id] for piece, id in vocabulary.items() if id in new_ids}
        rules["added_tokens"] = [{**token, "id": new_ids[token["id"]]} for token in rules["added_tokens"]]
        rules["post_processor"] = _renumber(rules["post_processor"], rules["model"]["vocab"])
        file.write_text(json.dumps(rules, ensure_ascii=False), encoding="utf-8")
        return AutoTokenizer.from_pretrained(folder, use_fast=True)


def narrow_embeddings(encoder: PreTrainedModel, kept: list[int]) -> None:
    """Reduce an encoder's embeddings to those of these tokens, in their order."""
    old = encoder.get_input_embeddings()
    assert isinstance(old, torch.nn.Embedding)
    if type(old) is torch.nn.Embedding:
        new = torch.nn.Embedding(len(kept), old.embedding_dim, device=old.weight.device)
    else:  # of a class of its own, which may scale what it returns
        new = copy.deepcopy(old)
        new.num_embeddings = len(kept)
    new.weight = torch.nn.Parameter(old.weight.detach()[torch.tensor(kept, device=old.weight.device)].clone())
    padding = old.padding_idx
    new.padding_idx = kept.index(padding) if padding is not None and padding in kept else None
    encoder.set_input_embeddings(new)
    encoder.config.vocab_size = len(kept)
    if new.padding_idx is not None:
        encoder.config.pad_token_id = new.padding_idx


def _tokenizer_rules(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    if not getattr(tokenizer, "is_fast", False):
        raise ConfigError("distil.student.vocabulary: a slow tokenizer cannot be narrowed; set it to null")
    result: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return result


def _renumber(processor: dict[str, Any] | None, vocabulary: dict[str, int]) -> dict[str, Any] | None:
    """Return the processor that adds special tokens around a text, with their new ids."""
    if processor is None:
        return None
    if processor["type"] == "TemplateProcessing":
        special = {
            name: {**entry, "ids": [vocabulary[token] for token in entry["tokens"]]}
            for name, entry in processor["special_tokens"].items()
        }
        return {**processor, "special_tokens": special}
    pairs = {key: [value[0], vocabulary[value[0]]] for key, value in processor.items() if key in ("sep", "cls")}
    return {**processor, **pairs}
