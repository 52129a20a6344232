"""Save and load learners: safetensors, tokenizer files and JSON, never pickle."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, PreTrainedModel

from cl import plugins
from cl.config import ModelSettings as ModelSettings
from cl.errors import ConfigError, IntegrityError, PerennialError, UnknownPluginError
from cl.models.build import attach_tuning, to_best_device
from cl.models.closed_form_head import ClosedFormHead
from cl.models.int8 import with_int8_modules
from cl.models.language_base import RestoreBase, restore_base
from cl.models.language_files import FORMAT, load_trained, save_trained
from cl.models.learner import Learner
from cl.models.linear_head import LinearHead
from cl.models.onnx.export import rewrite_graph
from cl.models.onnx.graph import has_graph, load_graph
from cl.models.pooling import Reading
from cl.models.pretrained import empty_encoder, restore_encoder, without_warnings
from cl.models.tunings import Tuning
from cl.models.weight_files import WEIGHTS, frozen_tensors, read_tensors, split_tensors, weight_files, write_tensors
from cl.tasks import Task


def save_learner(learner: Learner, folder: Path) -> None:
    """Write a learner into an existing folder: safetensors, tokenizer files and JSON."""
    if learner.base is not None:
        save_trained(learner, learner.base, folder)
        return
    _save_encoder(learner, folder / "encoder")
    if learner.graph is not None:
        rewrite_graph(learner.graph.model, folder / "encoder")
    learner.tokenizer.save_pretrained(folder / "tokenizer")
    save_file(_state(learner.head), folder / "head.safetensors")
    record = {
        "format": FORMAT,
        "task": learner.task_spec,
        "labels": learner.labels,
        **({"thresholds": list(learner.thresholds)} if learner.thresholds is not None else {}),
        "head": {"closed": learner.is_closed, **learner.head.described},
        "int8": learner.is_int8,
        "reading": asdict(learner.reading),
        "model": learner.settings.model_dump(),
    }
    (folder / "learner.json").write_text(json.dumps(record, indent=1), encoding="utf-8")


def load_learner(folder: Path, *, restore: RestoreBase = restore_base) -> Learner:
    """Load a learner that `save_learner` wrote; nothing goes through pickle.

    Args:
        folder: its files.
        restore: returns the base that it refers to.

    Raises:
        IntegrityError: its files do not make a learner: one is missing or unreadable, or tensors are missing or have
            other shapes than its settings say.
    """
    try:
        return _load(folder, restore)
    except (ConfigError, UnknownPluginError) as error:
        raise IntegrityError(f"{folder}: cannot be used as a version: {error}") from error
    except (PerennialError, MemoryError):  # such as a package that is not installed here
        raise
    except Exception as error:  # each library has exceptions of its own for files that make no sense to it
        lines = str(error).strip().splitlines() or [""]
        why = textwrap.shorten(f"{type(error).__name__}: {lines[0]}", 300, placeholder=" ...")
        raise IntegrityError(
            f"{folder}: cannot be used as a version: {why}; restore it from a backup, or `cl rollback`"
        ) from error


def _load(folder: Path, restore: RestoreBase) -> Learner:
    record = json.loads((folder / "learner.json").read_text(encoding="utf-8"))
    settings = ModelSettings(**record["model"])
    if "base" in record:
        return load_trained(record, settings, folder, restore)
    encoder = _load_encoder(folder / "encoder", settings, int8=record.get("int8", False))
    task = plugins.build(Task, record["task"])
    head = _build_head(record["head"], task.feature_width(encoder.config.hidden_size), settings.dropout)
    head.load_state_dict(load_file(folder / "head.safetensors"))
    learner = Learner(
        task=task,
        task_spec=record["task"],
        labels=record["labels"],
        settings=settings,
        tokenizer=AutoTokenizer.from_pretrained(folder / "tokenizer"),
        encoder=encoder,
        head=head,
        graph=load_graph(folder / "encoder") if has_graph(folder / "encoder") else None,
        thresholds=tuple(record["thresholds"]) if "thresholds" in record else None,
        reading=Reading(**record.get("reading", {})),  # older versions were all read in one way
    )
    learner.eval_mode()
    return to_best_device(learner)


def _build_head(fields: dict[str, Any], width: int, dropout: float) -> LinearHead | ClosedFormHead:
    arguments = {key: value for key, value in fields.items() if key != "closed"}
    return ClosedFormHead(**arguments) if fields["closed"] else LinearHead(width, arguments["sizes"], dropout)


def _save_encoder(learner: Learner, folder: Path) -> None:
    """Write the encoder as transformers does, or with its own tensor names if it is in int8 or a tuning added some."""
    if learner.is_int8:
        folder.mkdir()
        learner.encoder.config.save_pretrained(folder)
        save_file(_state(learner.encoder), folder / WEIGHTS)
        return
    frozen = frozen_tensors(learner.tuning, learner.encoder)
    if not _keeps_own_names(learner.tuning, learner.settings):
        with without_warnings():
            learner.encoder.save_pretrained(folder)
        split_tensors(folder, frozen)
        return
    folder.mkdir()
    learner.encoder.config.save_pretrained(folder)
    write_tensors(_state(learner.encoder), frozen, folder)


def _state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in module.state_dict().items()}


def _load_encoder(folder: Path, settings: ModelSettings, *, int8: bool) -> PreTrainedModel:
    tuning: Tuning = plugins.build(Tuning, settings.tuning)
    weight_files(folder)  # before transformers follows an index
    if not _keeps_own_names(tuning, settings) and not int8:
        return restore_encoder(folder)
    tensors = read_tensors(folder)
    if int8:
        encoder = with_int8_modules(empty_encoder(folder), stored=tensors.keys())
    else:
        encoder = attach_tuning(empty_encoder(folder, settings.dtype), settings)
    encoder.load_state_dict(tensors)
    return encoder


def _keeps_own_names(tuning: Tuning, settings: ModelSettings) -> bool:
    """Return whether an encoder's tensors are stored as they are: transformers would read them in a single format."""
    return tuning.adds_modules or settings.dtype == "bfloat16"
