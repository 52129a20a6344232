"""The learner: a task, its labels, a tokenizer, an encoder and a head."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from cl import plugins
from cl.config import ModelSettings as ModelSettings
from cl.config import PluginSpec
from cl.models.base_files import LanguageBase
from cl.models.batching import batch_by_cost, batch_by_length, collate
from cl.models.closed_form_head import ClosedFormHead
from cl.models.feature_cache import CURRENT
from cl.models.int8 import is_int8
from cl.models.kernels import fast_kernels
from cl.models.linear_head import LinearHead
from cl.models.onnx.graph import Graph
from cl.models.pooling import ENCODER, Reading, mean_pool
from cl.models.tunings import Tuning
from cl.models.unpadded import Group, chunks, group_by_length, pad_states, runs_unpadded, token_states
from cl.models.windows import Windows, windows_of
from cl.process.progress import meter
from cl.tasks import Batch, Capability, Encoded, Targets, Task

log = logging.getLogger(__name__)
PREFIX = "prefix"
"""The extra tensor of a batch that says how many tokens at the start of each row every window of it repeats."""


@dataclass(frozen=True)
class Learner:
    """A model that can be trained and run; only its modules change in training.

    ``graph`` has the encoder's weights and replaces it wherever gradients are disabled. ``thresholds`` are those of
    `Targets`. ``reading`` says where its answers are read. ``base`` are the files that its versions refer to; None: a
    version has all weights.
    """

    task: Task
    task_spec: PluginSpec
    labels: list[str]
    settings: ModelSettings
    tokenizer: PreTrainedTokenizerBase
    encoder: PreTrainedModel
    head: LinearHead | ClosedFormHead
    graph: Graph | None = None
    thresholds: tuple[float, ...] | None = None
    reading: Reading = ENCODER
    base: LanguageBase | None = None

    @property
    def is_closed(self) -> bool:
        """Whether the head was solved in closed form, not trained."""
        return isinstance(self.head, ClosedFormHead)

    @property
    def is_int8(self) -> bool:
        """Whether the encoder has int8 weights: it can predict, but not be trained."""
        return is_int8(self.encoder)

    @property
    def by_reference(self) -> bool:
        """Whether a version refers to the pretrained weights, and has only what was trained."""
        return self.base is not None

    @property
    def writes(self) -> bool:
        """Whether its answers are texts that it writes token by token."""
        return False

    @property
    def has_decoder(self) -> bool:
        """Whether a decoder of its own writes the answer."""
        return False

    @property
    def ends(self) -> list[int]:
        """The tokens that end an answer that is written."""
        return []

    @property
    def width(self) -> int:
        """Size of the encoder's states."""
        return int(self.encoder.config.hidden_size)

    @property
    def feature_width(self) -> int:
        """Size of the vectors that the head reads, for one layer."""
        return self.task.feature_width(self.width)

    @property
    def depth(self) -> int:
        """Number of layers in the encoder."""
        return int(self.encoder.config.num_hidden_layers)

    @property
    def device(self) -> torch.device:
        """The device that it runs on; with a graph, that of the head, as the encoder's weights may be gone."""
        return self.encoder.device if self.graph is None else next(self.head.parameters()).device

    @property
    def tuning(self) -> Tuning:
        """The tuning mode: which part of the encoder is trained."""
        return plugins.build(Tuning, self.settings.tuning)

    @property
    def windows(self) -> Windows | None:
        """How rows longer than ``model.max_length`` are read; None: they are cut."""
        return windows_of(self.settings, self.tokenizer)

    @property
    def longest(self) -> int:
        """The tokens of the longest row that is read whole."""
        windows = self.windows
        return windows.longest if windows else self.settings.max_length

    def parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """Yield the trainable parameters with their names: ``encoder....`` and ``head....``."""
        for part, module in (("encoder", self.encoder), ("head", self.head)):
            for name, parameter in module.named_parameters():
                if parameter.requires_grad:
                    yield f"{part}.{name}", parameter

    @property
    def targets(self) -> Targets:
        """What it can answer."""
        return Targets(self.labels, self.thresholds)

    def pool(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return one vector for each row (rows, width), from states (rows, length, width) and the mask."""
        return self.reading.pool(states, mask)

    def embed(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the embedding of each row (rows, width), from states (rows, length, width) and the mask.

        It is what the head reads of a text. Where a task answers each word, no single state stands for the row: the
        mean does.
        """
        return mean_pool(states, mask) if Capability.TOKENS in self.task.provides else self.pool(states, mask)

    def features(self, states: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return the head's input for the states of a layer (rows, length, width), one vector for each prediction."""
        return self.task.features(states, batch, self.pool)

    def logits(self, batch: Batch) -> torch.Tensor:
        """Run encoder and head on a batch; the task decides the shape of the logits."""
        return self.read(self.forward(batch), batch)

    def forward(self, batch: Batch, layers: int | None = None, *, packed: bool = False) -> list[torch.Tensor]:
        """Run the encoder on a batch and return the states of its last layers, as `states` does.

        ``packed``: a language model may read the rows end to end instead of padded.
        """
        return self.states(batch.input_ids, batch.mask, layers, prefix=batch.extras.get(PREFIX))

    def read(self, states: list[torch.Tensor], batch: Batch) -> torch.Tensor:
        """Return the head's logits for the states of the layers that it reads."""
        logits: torch.Tensor = self.head(self.head.combine([self.features(layer, batch) for layer in states]))
        return self.task.limit(logits, batch)

    def states(
        self,
        input_ids: torch.Tensor,
        mask: torch.Tensor,
        layers: int | None = None,
        *,
        prefix: torch.Tensor | None = None,
    ) -> list[torch.Tensor]:
        """Run the encoder and return the states (rows, length, width) of its last layers, last layer last.

        Rows longer than ``model.max_length`` are read in windows, if the settings have any. States of virtual tokens
        that a tuning puts before the text are dropped.

        Args:
            input_ids: tokens (rows, length).
            mask: 1 for real tokens, 0 for padding.
            layers: number of layers; None: as many as the head reads.
            prefix: how many tokens at the start of each row (rows,) every window of it repeats; None: no more than the
                tokenizer puts there.
        """
        wanted = layers or self.head.layers
        windows = self.windows if input_ids.shape[1] > self.settings.max_length else None
        if windows is None:
            return self._run_encoder(input_ids, mask, wanted)
        batch = windows.split(input_ids, mask, pad_id=self.tokenizer.pad_token_id, prefix=prefix)
        return [batch.stitch(layer) for layer in self._run_encoder(batch.input_ids, batch.mask, wanted)]

    def _run_encoder(self, input_ids: torch.Tensor, mask: torch.Tensor, wanted: int) -> list[torch.Tensor]:
        length = input_ids.shape[1]
        if self.graph is not None and not torch.is_grad_enabled():
            return self.graph.states(input_ids, mask, wanted)
        with self.in_own_format():
            out = self.encoder(input_ids=input_ids, attention_mask=mask, output_hidden_states=wanted > 1)
        hidden = out.hidden_states[-wanted:] if wanted > 1 else [out.last_hidden_state]
        if self.settings.dtype == "bfloat16":
            hidden = [states.float() for states in hidden]  # heads are float32
        return [states[:, -length:] for states in hidden]

    def in_own_format(self) -> AbstractContextManager[object]:
        """Return the context in which the encoder computes: bfloat16 where it holds weights in that format."""
        if self.settings.dtype == "float32" or self.is_int8:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def batches(self, encoded: list[Encoded], batch_size: int | None) -> Iterator[Batch]:
        """Yield rows of similar length as padded batches; ``rows`` of a batch are their indices.

        Args:
            encoded: the rows.
            batch_size: rows of a batch, at most; a long row counts as its windows. None: all rows are one batch.
        """
        lengths, windows = [len(row.input_ids) for row in encoded], self.windows
        if batch_size is None or windows is None:
            batches = batch_by_length(lengths, batch_size or max(1, len(encoded)))
        else:
            batches = batch_by_cost(lengths, [len(windows.starts(length)) for length in lengths], batch_size)
        for indices in batches:
            yield self._collate(encoded, indices)

    def _collate(self, encoded: list[Encoded], rows: list[int]) -> Batch:
        return collate(self.task, encoded, rows, self.tokenizer.pad_token_id, self.device)

    def run(
        self, encoded: list[Encoded], *, batch_size: int | None, layers: int | None = None
    ) -> Iterator[tuple[Batch, list[torch.Tensor]]]:
        """Run the encoder over rows, dropout off: the one pass in batches that everything that predicts goes through.

        Gradients and number formats are the caller's: it iterates inside its own context.

        Args:
            encoded: the rows.
            batch_size: as for `batches`; None also does without padding, where the encoder can.
            layers: how many of the last layers' states; None: as many as the head reads.

        Yields:
            Each batch and its states (rows, length, width), the last layer's last.
        """
        self.eval_mode()
        with meter(len(encoded), "rows") as rows:
            if batch_size is None and self.runs_unpadded(encoded):
                groups = group_by_length(encoded)
                batch = self._collate(encoded, [row for group in groups for row in group.rows])
                states = self._token_states(encoded, groups, layers, exact=False)
                yield batch, [pad_states(own, groups) for own in states]
                rows.advance(len(batch.rows))
                return
            for batch in self.batches(encoded, batch_size):
                with fast_kernels(self.device):
                    states = self.forward(batch, layers)
                yield batch, states
                rows.advance(len(batch.rows))

    def run_by_length(
        self, encoded: list[Encoded], tokens: int, layers: int | None = None
    ) -> Iterator[tuple[Batch, list[torch.Tensor]]]:
        """Run the encoder as `run` does, in batches of rows of one length: a row has the same states in any batch.

        Args:
            encoded: the rows.
            tokens: that are computed at a time, at most, but for a longer row.
            layers: as for `run`.
        """
        if self.runs_unpadded(encoded):
            self.eval_mode()
            with meter(len(encoded), "rows") as done:
                for chunk in chunks(encoded, tokens):
                    part = [encoded[row] for row in chunk]
                    groups = group_by_length(part)
                    states = self._token_states(part, groups, layers, exact=True)
                    for group in groups:
                        rows = [chunk[row] for row in group.rows]
                        yield self._collate(encoded, rows), [group.of(layer) for layer in states]
                    done.advance(len(chunk))
            return
        for group in group_by_length(encoded):
            part = [encoded[row] for row in group.rows]
            for batch, own in self.run(part, batch_size=max(1, tokens // max(1, group.length)), layers=layers):
                yield replace(batch, rows=[group.rows[row] for row in batch.rows]), own

    def runs_unpadded(self, encoded: list[Encoded]) -> bool:
        """Return whether these rows can be run without padding: the encoder can, and none is read in windows."""
        longest = max((len(row.input_ids) for row in encoded), default=0)
        return self.graph is None and 0 < longest <= self.settings.max_length and runs_unpadded(self.encoder)

    def _token_states(
        self, encoded: list[Encoded], groups: list[Group], layers: int | None, *, exact: bool
    ) -> list[torch.Tensor]:
        with self.in_own_format():
            states = token_states(self.encoder, encoded, groups, layers or self.head.layers, exact=exact)
        return [layer.float() for layer in states] if self.settings.dtype == "bfloat16" else states

    def encode(self, rows: object) -> list[Encoded]:
        """Tokenise rows for the learner's labels and longest row; inside `cached_in`, known texts are cached."""
        cache = CURRENT.get()
        tokenizer = cache.tokens.before(self.tokenizer) if cache else self.tokenizer
        return self._encode(rows, tokenizer, max_length=self.longest)

    def encode_further(self, rows: object, tokens: int) -> list[Encoded]:
        """Tokenise rows with room for so many more tokens than the learner reads."""
        return self._encode(rows, self.tokenizer, max_length=self.longest + tokens)

    def _encode(self, rows: object, tokenizer: object, *, max_length: int) -> list[Encoded]:
        last = {"last_piece": True} if Capability.TOKENS in self.task.provides and self.reading.piece == "last" else {}
        return self.task.encode(rows, tokenizer, self.labels, max_length=max_length, **last)  # type: ignore[arg-type]

    def train_mode(self) -> None:
        """Switch dropout on in the head, and in the encoder if the settings ask for it."""
        self.encoder.train(self.settings.encoder_dropout)
        self.head.train()

    def eval_mode(self) -> None:
        """Switch dropout off."""
        self.encoder.eval()
        self.head.eval()
