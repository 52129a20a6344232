"""Give both sides of a drift check the embeddings of an encoder that is not the champion."""

from __future__ import annotations

from dataclasses import replace

from cl.models.snapshot import Snapshot


def encode_sides(name: str | None, reference: Snapshot, new: Snapshot) -> tuple[Snapshot, Snapshot]:
    """Return both sides with the embeddings of their texts by an encoder; None: with those that they have.

    Both are embedded at the time of the check: the encoder may be another one than when the reference was stored, and
    embeddings of two encoders cannot be compared.

    Raises:
        ConfigError: the encoder cannot be loaded.
    """
    if name is None:
        return reference, new
    from cl.models.text_encoder import embed_texts

    texts = [str(text) for side in (reference, new) for text in side.frame["text"]]
    embeddings = embed_texts(name, texts)
    rows = len(reference.frame)
    return replace(reference, embeddings=embeddings[:rows]), replace(new, embeddings=embeddings[rows:])
