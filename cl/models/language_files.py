"""Save and load what was trained of a language model: safetensors, and a reference to the rest by digest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from cl import plugins
from cl.config import ModelSettings
from cl.models.build import attach_tuning, to_best_device
from cl.models.language_base import LanguageBase, RestoreBase, keep_base, outline_base
from cl.models.language_learner import LanguageLearner
from cl.models.learner import Learner
from cl.models.linear_head import OutputLayer
from cl.models.tunings.lora import take_ranks
from cl.models.weight_files import WEIGHTS
from cl.tasks import Task

FORMAT = 2
TRAINED = Path("encoder") / WEIGHTS


def save_trained(learner: Learner, base: LanguageBase, folder: Path) -> None:
    """Write the trained tensors, the tokenizer and a record, and let the project above keep the base."""
    (folder / TRAINED).parent.mkdir()
    tensors = {name: parameter.detach().cpu().contiguous() for name, parameter in trained_parameters(learner).items()}
    save_file(tensors, folder / TRAINED, metadata={"format": "pt"})
    save_file({}, folder / "head.safetensors")
    learner.tokenizer.save_pretrained(folder / "tokenizer")
    record = {
        "format": FORMAT,
        "task": learner.task_spec,
        "labels": learner.labels,
        "head": {"closed": False, "sizes": []},
        "base": {
            "name": base.name,
            "files": dict(base.files),
            **({} if base.layers is None else {"layers": list(base.layers)}),
        },
        "model": learner.settings.model_dump(),
    }
    (folder / "learner.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    keep_base(base, folder)


def load_trained(
    record: Mapping[str, Any], settings: ModelSettings, folder: Path, restore: RestoreBase
) -> LanguageLearner:
    """Load a learner that `save_trained` wrote; ``restore`` returns its base.

    Raises:
        IntegrityError: the base is not on this machine, or is another one.
        ValueError: the trained tensors are not those of its tuning.
    """
    learner, tensors = _read(record, settings, folder, restore)
    learner.encoder.load_state_dict(tensors, strict=False)
    learner.eval_mode()
    to_best_device(learner)
    return learner


def outline_trained(folder: Path) -> tuple[LanguageLearner, dict[str, torch.Tensor]]:
    """Return a learner that `save_trained` wrote without any weights, and the tensors that were trained, by name.

    It encodes prompts and reads tokens, for models that run elsewhere; see `outline_base`.

    Raises:
        IntegrityError: the base is another one, or its configuration is not on this machine.
        ValueError: the folder has no language model, or other tensors than its tuning trains.
    """
    record = json.loads((folder / "learner.json").read_text(encoding="utf-8"))
    if "base" not in record:
        raise ValueError(f"{folder} has no language model")
    settings = ModelSettings.model_validate(record["model"])
    return _read(record, settings, folder, lambda base, version, dtype: outline_base(base, version))


def _read(
    record: Mapping[str, Any], settings: ModelSettings, folder: Path, restore: RestoreBase
) -> tuple[LanguageLearner, dict[str, torch.Tensor]]:
    """Return a learner with the weights of its base alone, and the trained tensors."""
    base = read_base(record)
    model = restore(base, folder, "float32" if settings.dtype == "float32" else "auto")
    model.config.use_cache = False
    learner = LanguageLearner(
        task=plugins.build(Task, record["task"]),
        task_spec=record["task"],
        labels=record["labels"],
        settings=settings,
        tokenizer=AutoTokenizer.from_pretrained(folder / "tokenizer"),
        encoder=attach_tuning(model, settings),
        head=OutputLayer(model.config.hidden_size),
        base=base,
    )
    tensors = load_file(folder / TRAINED)
    _fit_to(learner, tensors)
    return learner, tensors


def read_base(record: Mapping[str, Any]) -> LanguageBase:
    """Return the base that the record of a version names."""
    base = record["base"]
    return LanguageBase(base["name"], base["files"], tuple(base["layers"]) if "layers" in base else None)


def take_trained(learner: Learner, tensors: dict[str, Any]) -> None:
    """Set the trained parameters of a learner, by name.

    Raises:
        ValueError: the tensors are not those of its tuning.
    """
    _fit_to(learner, tensors)
    learner.encoder.load_state_dict(tensors, strict=False)


def _fit_to(learner: Learner, tensors: dict[str, Any]) -> None:
    """Give a learner's adapter the ranks of stored tensors, and check that they are all of its trained parameters."""
    take_ranks(learner.encoder, tensors)
    if different := sorted(tensors.keys() ^ trained_parameters(learner).keys()):
        raise ValueError(f"{TRAINED} has other tensors than model.tuning: the first is {different[0]}")


def trained_parameters(learner: Learner) -> dict[str, Any]:
    """Return the parameters that the tuning trains, by name."""
    moving = {id(parameter) for parameter in learner.tuning.moving(learner.encoder)}
    return {name: parameter for name, parameter in learner.encoder.named_parameters() if id(parameter) in moving}
