"""The learner: a task, its labels, a tokenizer, an encoder and a head; made, grown, saved and loaded."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from cl import plugins
from cl.config import Config
from cl.errors import ConfigError
from cl.settings import Model as ModelSettings
from cl.settings import PluginSpec
from cl.tasks import Encoded, Task
from cl.training.closed_head import ClosedHead
from cl.training.feature_cache import CURRENT
from cl.training.head import Head
from cl.training.int8 import is_int8, with_int8_modules
from cl.training.onnx_export import write_again
from cl.training.onnx_graph import Graph, has_graph, load_graph
from cl.training.pretrained import empty_encoder, load_encoder, load_tokenizer, quietly, restore_encoder
from cl.tunings import Tuning

log = logging.getLogger(__name__)

FORMAT = 2


@dataclass(frozen=True)
class Learner:
    """A model that can be trained and asked; its modules change in training, the rest never does.

    ``graph`` stands for the encoder where no gradient is wanted; it has the same weights.
    """

    task: Task
    task_spec: PluginSpec
    labels: list[str]
    settings: ModelSettings
    tokenizer: PreTrainedTokenizerBase
    encoder: PreTrainedModel
    head: Head | ClosedHead
    graph: Graph | None = None

    @property
    def is_closed(self) -> bool:
        """Whether its head was solved for and not trained."""
        return isinstance(self.head, ClosedHead)

    @property
    def is_int8(self) -> bool:
        """Whether its encoder has weights in whole numbers: it answers, and cannot be trained as it is."""
        return is_int8(self.encoder)

    @property
    def width(self) -> int:
        """Numbers in one state of the encoder."""
        return int(self.encoder.config.hidden_size)

    @property
    def depth(self) -> int:
        """Layers of the encoder."""
        return int(self.encoder.config.num_hidden_layers)

    @property
    def device(self) -> torch.device:
        """Where it computes; what serves through a graph has let go of its encoder's weights."""
        return self.encoder.device if self.graph is None else next(self.head.parameters()).device

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
        return self.read(self.states(input_ids, mask), mask)

    def read(self, states: list[torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
        """Return the head's logits for the states of the layers that it reads."""
        return self.head(self.head.combine([self.task.features(one, mask) for one in states]))

    def states(self, input_ids: torch.Tensor, mask: torch.Tensor, layers: int | None = None) -> list[torch.Tensor]:
        """Run the encoder alone and return the states (rows, length, width) of its last layers, the last one last.

        The states of virtual tokens that a tuning puts before the text are cut off.

        Args:
            input_ids: tokens (rows, length).
            mask: 1 for real tokens, 0 for padding.
            layers: how many layers; None: as many as the head reads.
        """
        wanted, length = layers or self.head.layers, input_ids.shape[1]
        if self.graph is not None and not torch.is_grad_enabled():
            return self.graph.states(input_ids, mask, wanted)
        out = self.encoder(input_ids=input_ids, attention_mask=mask, output_hidden_states=wanted > 1)
        found = out.hidden_states[-wanted:] if wanted > 1 else [out.last_hidden_state]
        return [states[:, -length:] for states in found]

    def encode(self, rows: object) -> list[Encoded]:
        """Tokenise rows for this learner's labels and length; inside `kept_in`, known texts are only looked up."""
        cache = CURRENT.get()
        tokenizer = cache.tokens.before(self.tokenizer) if cache else self.tokenizer
        return self.task.encode(rows, tokenizer, self.labels, max_length=self.settings.max_length)  # type: ignore[arg-type]

    def train_mode(self) -> None:
        """Switch dropout on: the head's, and the encoder's own where the settings ask for it."""
        self.encoder.train(self.settings.encoder_dropout)
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
    encoder, tokenizer = load_encoder(config.model.name), load_tokenizer(config.model.name)
    settings = _readable(config.model, encoder, tokenizer)
    learner = Learner(
        task=plugins.build("tasks", config.task),
        task_spec=config.task,
        labels=[],
        settings=settings,
        tokenizer=tokenizer,
        encoder=_attached(encoder, settings),
        head=Head(encoder.config.hidden_size, [], config.model.dropout),
    )
    return on_best_device(learner)


def retuned(learner: Learner, settings: ModelSettings) -> Learner:
    """Return the learner with other settings: what the old tuning had added is merged, the new one attached.

    Raises:
        ConfigError: the old tuning cannot be merged into the encoder.
    """
    settings = _readable(settings, learner.encoder, learner.tokenizer)
    if settings.tuning == learner.settings.tuning:
        return replace(learner, settings=settings)
    plain = cast(PreTrainedModel | None, learner.tuning.merge(learner.encoder))
    if plain is None:
        raise ConfigError(
            f"model.tuning: a champion tuned with '{learner.tuning.name}' cannot go on with another mode; "
            f"keep '{learner.tuning.name}', or start again with strategy {{name: joint, restart: true}}"
        )
    return on_best_device(replace(learner, settings=settings, encoder=_attached(plain, settings)))


def added(learner: Learner) -> frozenset[str]:
    """Return the names of the parameters that its tuning has added to the encoder."""
    if not learner.tuning.adds:
        return frozenset()
    moving = {id(parameter) for parameter in learner.tuning.moving(learner.encoder)}
    return frozenset(f"encoder.{name}" for name, one in learner.encoder.named_parameters() if id(one) in moving)


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
    if learner.graph is not None:
        write_again(learner.graph.model, folder / "encoder")
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
        task=plugins.build("tasks", described["task"]),
        task_spec=described["task"],
        labels=described["labels"],
        settings=settings,
        tokenizer=AutoTokenizer.from_pretrained(folder / "tokenizer"),
        encoder=encoder,
        head=head,
        graph=load_graph(folder / "encoder") if has_graph(folder / "encoder") else None,
    )
    learner.eval_mode()
    return on_best_device(learner)


def _readable(settings: ModelSettings, encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> ModelSettings:
    """Return settings whose length the encoder has positions for.

    Raises:
        ConfigError: there are none left for the virtual tokens of its tuning.
    """
    positions = getattr(encoder.config, "max_position_embeddings", None)
    most = min(settings.max_length if positions is None else positions, tokenizer.model_max_length)
    if settings.max_length > most:
        log.warning("model.max_length: %s reads %d tokens at most, not %d", settings.name, most, settings.max_length)
        settings = settings.model_copy(update={"max_length": most})
    tuning = plugins.build("tunings", settings.tuning)
    if positions is not None and settings.max_length + tuning.virtual_tokens > positions:
        raise ConfigError(
            f"model.max_length {settings.max_length} and the {tuning.virtual_tokens} virtual tokens of model.tuning "
            f"'{tuning.name}' are more than the {positions} positions of {settings.name}: lower model.max_length to "
            f"{max(0, positions - tuning.virtual_tokens)} or less, or tokens of model.tuning"
        )
    return settings


def _head(described: dict[str, Any], width: int, dropout: float) -> Head | ClosedHead:
    fields = {key: value for key, value in described.items() if key != "closed"}
    return ClosedHead(**fields) if described["closed"] else Head(width, fields["sizes"], dropout)


def _attached(encoder: PreTrainedModel, settings: ModelSettings) -> PreTrainedModel:
    """Add what the tuning adds; its first values come from torch's own random state."""
    return plugins.build("tunings", settings.tuning).attach(encoder)


def _save_encoder(learner: Learner, folder: Path) -> None:
    """Write the encoder: as transformers does, or what a tuning added, or int8 weights, under their own names."""
    if not learner.tuning.adds and not learner.is_int8:
        with quietly():
            learner.encoder.save_pretrained(folder)
        return
    folder.mkdir()
    learner.encoder.config.save_pretrained(folder)
    state = learner.encoder.state_dict()
    save_file({k: v.detach().cpu().clone().contiguous() for k, v in state.items()}, folder / "model.safetensors")


def _restored(folder: Path, settings: ModelSettings, *, int8: bool) -> PreTrainedModel:
    tuning: Tuning = plugins.build("tunings", settings.tuning)
    if not tuning.adds and not int8:
        return restore_encoder(folder)
    encoder = with_int8_modules(empty_encoder(folder)) if int8 else _attached(empty_encoder(folder), settings)
    encoder.load_state_dict(load_file(folder / "model.safetensors"))
    return encoder
