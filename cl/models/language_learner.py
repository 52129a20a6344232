"""The learner of tasks that write text: a whole language model, whose own output layer is its head."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from cl import __version__
from cl.models.feature_cache import CURRENT
from cl.models.learner import Learner
from cl.models.packing import AttentionWithinRows, PackedRows, can_pack
from cl.models.token_cache import tokenizer_digest
from cl.models.token_files import FORM
from cl.tasks import IGNORED, Batch, Encoded

POSITIONS = "positions"
"""The extra tensor of a batch with the positions (rows, targets) whose states the output layer reads."""


@dataclass(frozen=True)
class LanguageLearner(Learner):
    """A language model that can be trained and run.

    ``encoder`` is the whole model, with its output layer: one stack that reads and writes, or an encoder with a
    decoder. ``head`` has no weights. Its logits are (rows, targets, vocabulary): only where a row's answer is written.
    """

    @property
    def writes(self) -> bool:
        """True: it writes its answers."""
        return True

    @property
    def has_decoder(self) -> bool:
        """Whether a decoder of its own writes the answer."""
        return bool(self.encoder.config.is_encoder_decoder)

    @property
    def ends(self) -> list[int]:
        """The tokens that end an answer."""
        config = self.encoder.generation_config
        named = getattr(config, "eos_token_id", None)
        known = named if isinstance(named, list) else [named]
        return sorted({id for id in (*known, self.tokenizer.eos_token_id) if isinstance(id, int)})

    def forward(self, batch: Batch, layers: int | None = None, *, packed: bool = False) -> list[torch.Tensor]:
        """Return the logits (rows, targets, vocabulary) where answers are written, as the states of a single layer.

        No keys and values are cached: what is packed or padded would be attended to. Packed, the logits of places
        without a target are 0.
        """
        logits: torch.Tensor
        with self.in_own_format():
            if batch.input_ids.shape[1] > self.settings.max_length and self.task.measures_texts:
                logits = self._logits_of_blocks(batch)
            elif self.has_decoder:
                ids = self.encoder.prepare_decoder_input_ids_from_labels(labels=batch.targets)  # type: ignore[operator]
                out = self.encoder(
                    input_ids=batch.input_ids, attention_mask=batch.mask, decoder_input_ids=ids, use_cache=False
                )
                logits = out.logits
            elif packed and can_pack(self.encoder, batch.input_ids.shape[1]):
                logits = self._packed_logits(batch)
            else:
                rows = torch.arange(len(batch.targets), device=batch.targets.device).unsqueeze(1)
                with self._reads_only((rows, batch.extras[POSITIONS])):
                    out = self.encoder(input_ids=batch.input_ids, attention_mask=batch.mask, use_cache=False)
                logits = out.logits
        return [logits.float() if self.settings.dtype == "bfloat16" else logits]

    def _logits_of_blocks(self, batch: Batch) -> torch.Tensor:
        """Return the logits of texts that are longer than the model reads: each block is read by itself."""
        rows, length = batch.input_ids.shape
        size = self.settings.max_length
        ids, mask = (
            torch.nn.functional.pad(part, (0, -length % size)).view(-1, size) for part in (batch.input_ids, batch.mask)
        )
        real = mask.any(1)
        own = self.encoder(input_ids=ids[real], attention_mask=mask[real], use_cache=False).logits
        logits: torch.Tensor = own.new_zeros(len(ids), size, own.shape[-1])
        logits[real] = own
        return logits.view(rows, -1, own.shape[-1])[:, : batch.targets.shape[1]]

    def _packed_logits(self, batch: Batch) -> torch.Tensor:
        """Return the logits of a batch whose rows are read end to end, and written where they have a target."""
        packed, written = PackedRows.of(batch.input_ids, batch.mask), batch.targets != IGNORED
        places = packed.find(batch.extras[POSITIONS])[written]
        with self._reads_only((torch.zeros_like(places), places)), AttentionWithinRows(packed.lengths):
            own = self.encoder(input_ids=packed.input_ids, position_ids=packed.positions, use_cache=False).logits
        logits: torch.Tensor = own.new_zeros(*written.shape, own.shape[-1])
        logits[written] = own
        return logits

    def read(self, states: list[torch.Tensor], batch: Batch) -> torch.Tensor:
        """Return the logits, which `forward` has returned in place of states."""
        return states[-1]

    def embed(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return no embedding of any row (rows, 0): none of a language model's states stands for a text."""
        return states.new_zeros(len(states), 0)

    @contextmanager
    def _reads_only(self, places: tuple[torch.Tensor, torch.Tensor]) -> Iterator[None]:
        """Let the output layer read these rows and positions only: a vocabulary is wide."""
        layer = self.encoder.get_output_embeddings()
        handle = layer.register_forward_pre_hook(lambda _, inputs: (inputs[0][places], *inputs[1:]))
        try:
            yield
        finally:
            handle.remove()

    def _encode(self, rows: object, tokenizer: object, *, max_length: int) -> list[Encoded]:
        def make(rows: object) -> list[Encoded]:
            apart = {"apart": self.has_decoder}
            return self.task.encode(rows, self.tokenizer, self.labels, max_length=max_length, **apart)

        cache = CURRENT.get()
        if cache is None or max_length != self.longest or not getattr(self.tokenizer, "is_fast", False):
            return make(rows)
        return cache.token_files.encode(self._setup(), rows, self.task.schema.names, make)

    def _setup(self) -> bytes:
        """Return a hash of all that decides the tokens of a row but the row."""
        tokenizer = self.tokenizer
        said = [
            __version__,
            FORM,
            self.task.name,
            self.task.model_dump(mode="json"),
            self.longest,
            self.has_decoder,
            getattr(tokenizer, "chat_template", None),
            {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        ]
        rules = json.dumps(said, sort_keys=True, default=str).encode()
        return hashlib.sha256(tokenizer_digest(tokenizer) + rules).digest()
