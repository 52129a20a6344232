"""Embed texts with a pretrained encoder that is not the model itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from cl.models.batching import batch_by_length
from cl.models.compatibility import is_causal, max_positions
from cl.models.pooling import last_pool, mean_pool
from cl.models.pretrained import load_pretrained
from cl.process.progress import meter

ROWS_AT_ONCE = 32
LONGEST = 512
"""Tokens of a text that are read, fewer where the encoder has fewer positions; a longer text is cut."""


@torch.inference_mode()
def embed_texts(name: str, texts: Sequence[str]) -> np.ndarray:
    """Return the embeddings (texts, width) of texts, float32: the mean of the last states, of a decoder the last one.

    Args:
        name: of the encoder: a packaged one, one on the hub, or a folder.
        texts: any texts.

    Raises:
        ConfigError: the encoder cannot be loaded.
    """
    encoder, tokenizer = load_pretrained(name, split_words=False)
    encoder.eval()
    pool = last_pool if is_causal(encoder) else mean_pool
    longest = min(LONGEST, max_positions(encoder) or LONGEST)
    rows = [tokenizer(text, truncation=True, max_length=longest)["input_ids"] for text in texts]
    rows = [row or [tokenizer.pad_token_id] for row in rows]  # a blank text must have a state, too
    embeddings = np.zeros((len(rows), encoder.config.hidden_size), dtype=np.float32)
    with meter(len(rows), "rows") as done:
        for batch in batch_by_length([len(row) for row in rows], ROWS_AT_ONCE):
            ids = torch.full((len(batch), max(len(rows[row]) for row in batch)), tokenizer.pad_token_id)
            mask = torch.zeros_like(ids)
            for position, row in enumerate(batch):
                ids[position, : len(rows[row])], mask[position, : len(rows[row])] = torch.tensor(rows[row]), 1
            states = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            embeddings[batch] = pool(states.float(), mask).numpy()
            done.advance(len(batch))
    return embeddings
