"""The learner: a task, its labels, a tokenizer, an encoder and a head; made, grown, saved and loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from cl import plugins
from cl.config import Config, PluginSpec
from cl.config import Model as ModelSettings
from cl.errors import ConfigError
from cl.tasks import Encoded, Task
from cl.training.head import Head
from cl.training.pretrained import empty_encoder, load_encoder, load_tokenizer, restore_encoder
from cl.tunings import Tuning

FORMAT = 2


@dataclass(frozen=True)
class Learner:
    """A model that can be trained and asked; its modules change in training, the rest never does."""

    task: Task
    task_spec: PluginSpec
    labels: list[str]
    settings: ModelSettings
    tokenizer: PreTrainedTokenizerBase
    encoder: PreTrainedModel
    head: Head

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.encoder.device

    @property
    def tuning(self) -> Tuning:
        """Which part of its encoder moves."""
        return plugins.build("tunings", self.settings.tuning)

    def parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """Yield the trainable parameters with their names: ``encoder....`` and ``head....``."""
        for part, module in (("encoder", self.encoder), ("head", self.head)):
            for name, parameter in module.named_parameters():
                if parameter.requires_grad:
                    yield f"{part}.{name}", parameter

    def logits(self, input_ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Run encoder and head on a batch (rows, length); the shape of the answer is the task's."""
        return self.head(self.task.features(self.states(input_ids, mask), mask))

    def states(self, input_ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Run the encoder alone: (rows, length, width); the states of virtual tokens before the text are cut off."""
        return self.encoder(input_ids=input_ids, attention_mask=mask).last_hidden_state[:, -input_ids.shape[1] :]

    def encode(self, rows: object) -> list[Encoded]:
        """Tokenise rows for this learner's labels and length."""
        return self.task.encode(rows, self.tokenizer, self.labels, max_length=self.settings.max_length)  # type: ignore[arg-type]

    def train_mode(self) -> None:
        """Switch dropout on."""
        self.encoder.train()
        self.head.train()

    def eval_mode(self) -> None:
        """Switch dropout off."""
        self.encoder.eval()
        self.head.eval()


def new_learner(config: Config) -> Learner:
    """Make a learner from pretrained weights, with no labels yet.

    Raises:
        ConfigError: the model cannot be loaded.
    """
    encoder = load_encoder(config.model.name)
    learner = Learner(
        task=plugins.build("tasks", config.task),
        task_spec=config.task,
        labels=[],
        settings=config.model,
        tokenizer=load_tokenizer(config.model.name),
        encoder=_attached(encoder, config.model),
        head=Head(encoder.config.hidden_size, [], config.model.dropout),
    )
    return on_best_device(learner)


def retuned(learner: Learner, settings: ModelSettings) -> Learner:
    """Return the learner with other settings: what the old tuning had added is merged, the new one attached.

    Raises:
        ConfigError: the old tuning cannot be merged into the encoder.
    """
    if settings.tuning == learner.settings.tuning:
        return replace(learner, settings=settings)
    plain = cast(PreTrainedModel | None, learner.tuning.merge(learner.encoder))
    if plain is None:
        raise ConfigError(
            f"model.tuning: a champion tuned with '{learner.tuning.name}' cannot go on with another mode; "
            f"keep '{learner.tuning.name}', or start again with strategy {{name: joint, restart: true}}"
        )
    return on_best_device(replace(learner, settings=settings, encoder=_attached(plain, settings)))


def grown(learner: Learner, labels: list[str], *, seed: int) -> Learner:
    """Return the learner with a head that also answers the labels it did not know; old logits do not change."""
    added = [label for label in labels if label not in learner.labels]
    if not added:
        return learner
    learner.head.grow(len(added), torch.Generator().manual_seed(seed))
    learner.head.to(learner.device)
    return replace(learner, labels=[*learner.labels, *added])


def freeze(learner: Learner) -> None:
    """Mark as trainable what the tuning lets move, and the head, and nothing else."""
    learner.encoder.requires_grad_(False)
    for parameter in learner.tuning.moving(learner.encoder):
        parameter.requires_grad_(True)
    learner.head.requires_grad_(True)


def on_best_device(learner: Learner) -> Learner:
    """Move the learner to the GPU where there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    learner.encoder.to(device)  # type: ignore[arg-type]
    learner.head.to(device)
    return learner


def save_learner(learner: Learner, folder: Path) -> None:
    """Write a learner into an existing folder: safetensors, tokenizer files and JSON."""
    _save_encoder(learner, folder / "encoder")
    learner.tokenizer.save_pretrained(folder / "tokenizer")
    save_file(
        {k: v.detach().cpu().contiguous() for k, v in learner.head.state_dict().items()},
        folder / "head.safetensors",
    )
    described = {
        "format": FORMAT,
        "task": learner.task_spec,
        "labels": learner.labels,
        "head_sizes": learner.head.sizes,
        "model": learner.settings.model_dump(),
    }
    (folder / "learner.json").write_text(json.dumps(described, indent=1), encoding="utf-8")


def load_learner(folder: Path) -> Learner:
    """Read a learner that `save_learner` wrote; nothing is loaded through pickle."""
    described = json.loads((folder / "learner.json").read_text(encoding="utf-8"))
    settings = ModelSettings(**described["model"])
    encoder = _restored(folder / "encoder", settings)
    head = Head(encoder.config.hidden_size, described["head_sizes"], settings.dropout)
    head.load_state_dict(load_file(folder / "head.safetensors"))
    learner = Learner(
        task=plugins.build("tasks", described["task"]),
        task_spec=described["task"],
        labels=described["labels"],
        settings=settings,
        tokenizer=AutoTokenizer.from_pretrained(folder / "tokenizer"),
        encoder=encoder,
        head=head,
    )
    learner.eval_mode()
    return on_best_device(learner)


def _attached(encoder: PreTrainedModel, settings: ModelSettings) -> PreTrainedModel:
    """Add what the tuning adds; its first values come from torch's own random state."""
    return plugins.build("tunings", settings.tuning).attach(encoder)


def _save_encoder(learner: Learner, folder: Path) -> None:
    """Write the encoder: as transformers does, or with a tuning's additions under their own names."""
    if not learner.tuning.adds:
        learner.encoder.save_pretrained(folder)
        return
    folder.mkdir()
    learner.encoder.config.save_pretrained(folder)
    state = learner.encoder.state_dict()
    save_file({k: v.detach().cpu().clone().contiguous() for k, v in state.items()}, folder / "model.safetensors")


def _restored(folder: Path, settings: ModelSettings) -> PreTrainedModel:
    tuning: Tuning = plugins.build("tunings", settings.tuning)
    if not tuning.adds:
        return restore_encoder(folder)
    encoder = _attached(empty_encoder(folder), settings)
    encoder.load_state_dict(load_file(folder / "model.safetensors"))
    return encoder
