"""Learners are saved and loaded: safetensors, tokenizer files and JSON, never pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, PreTrainedModel

from cl import plugins
from cl.config import ModelSettings as ModelSettings
from cl.models.build import _attached, to_best_device
from cl.models.closed_form_head import ClosedFormHead
from cl.models.int8 import with_int8_modules
from cl.models.learner import Learner
from cl.models.linear_head import LinearHead
from cl.models.onnx.export import rewrite_graph
from cl.models.onnx.graph import has_graph, load_graph
from cl.models.pretrained import empty_encoder, restore_encoder, without_warnings
from cl.models.tunings import Tuning
from cl.tasks import Task

FORMAT = 2


def save_learner(learner: Learner, folder: Path) -> None:
    """Write a learner into an existing folder: safetensors, tokenizer files and JSON."""
    _save_encoder(learner, folder / "encoder")
    if learner.graph is not None:
        rewrite_graph(learner.graph.model, folder / "encoder")
    learner.tokenizer.save_pretrained(folder / "tokenizer")
    save_file(
        {k: v.detach().cpu().clone().contiguous() for k, v in learner.head.state_dict().items()},
        folder / "head.safetensors",
    )
    described = {
        "format": FORMAT,
        "task": learner.task_spec,
        "labels": learner.labels,
        "head": {"closed": learner.is_closed, **learner.head.described},
        "int8": learner.is_int8,
        "model": learner.settings.model_dump(),
    }
    (folder / "learner.json").write_text(json.dumps(described, indent=1), encoding="utf-8")


def load_learner(folder: Path) -> Learner:
    """Read a learner that `save_learner` wrote; nothing is loaded through pickle."""
    described = json.loads((folder / "learner.json").read_text(encoding="utf-8"))
    settings = ModelSettings(**described["model"])
    encoder = _restored(folder / "encoder", settings, int8=described.get("int8", False))
    head = _head(described["head"], encoder.config.hidden_size, settings.dropout)
    head.load_state_dict(load_file(folder / "head.safetensors"))
    learner = Learner(
        task=plugins.build(Task, described["task"]),
        task_spec=described["task"],
        labels=described["labels"],
        settings=settings,
        tokenizer=AutoTokenizer.from_pretrained(folder / "tokenizer"),
        encoder=encoder,
        head=head,
        graph=load_graph(folder / "encoder") if has_graph(folder / "encoder") else None,
    )
    learner.eval_mode()
    return to_best_device(learner)


def _head(described: dict[str, Any], width: int, dropout: float) -> LinearHead | ClosedFormHead:
    fields = {key: value for key, value in described.items() if key != "closed"}
    return ClosedFormHead(**fields) if described["closed"] else LinearHead(width, fields["sizes"], dropout)


def _save_encoder(learner: Learner, folder: Path) -> None:
    """Write the encoder: as transformers does, or what a tuning added, or int8 weights, under their own names."""
    if not learner.tuning.adds and not learner.is_int8:
        with without_warnings():
            learner.encoder.save_pretrained(folder)
        return
    folder.mkdir()
    learner.encoder.config.save_pretrained(folder)
    state = learner.encoder.state_dict()
    save_file({k: v.detach().cpu().clone().contiguous() for k, v in state.items()}, folder / "model.safetensors")


def _restored(folder: Path, settings: ModelSettings, *, int8: bool) -> PreTrainedModel:
    tuning: Tuning = plugins.build(Tuning, settings.tuning)
    if not tuning.adds and not int8:
        return restore_encoder(folder)
    encoder = with_int8_modules(empty_encoder(folder)) if int8 else _attached(empty_encoder(folder), settings)
    encoder.load_state_dict(load_file(folder / "model.safetensors"))
    return encoder
