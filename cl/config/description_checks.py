"""Whether the descriptions of labels can be learned like rows, and by which tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SHOWN = 60
"""Characters of a text that a message shows."""


def read_descriptions(raw: Any) -> Any:
    """Return descriptions as they are configured, with labels as text.

    Raises:
        ValueError: they are no mapping from labels to texts; the message names the label.
    """
    if not isinstance(raw, dict):
        raise ValueError(f"'{_short(raw)}' is no mapping; write one label a line, as 'card_lost: the card was lost'")
    for label, texts in raw.items():
        listed = texts if isinstance(texts, list) else [texts]
        if not listed or not all(isinstance(text, str) and text.strip() for text in listed):
            wrong = next((text for text in listed if not (isinstance(text, str) and text.strip())), texts)
            got = "an empty text" if wrong in (None, "", []) or isinstance(wrong, str) else f"'{_short(wrong)}'"
            raise ValueError(f"{_short(label)}: got {got}; say in a sentence what the label means, or remove it")
    return {str(label): texts for label, texts in raw.items()}


def check_texts(described: Sequence[tuple[str, str]], *, fewest: int, most: int) -> None:
    """Check that descriptions can be rows: each text once, for one label, and of a length that rows may have.

    Args:
        described: (label, text), in order.
        fewest: characters that a row has at least.
        most: characters that a row has at most.

    Raises:
        ValueError: the message names the first wrong one.
    """
    known: dict[str, str] = {}
    for label, text in described:
        name, shown, length = _short(label), _short(text), len(text.strip())
        if not label.strip():
            raise ValueError(f"descriptions: '{shown}' describes a label without a name; name it")
        if not fewest <= length <= most:
            bound = f"data.min_chars is {fewest}" if length < fewest else f"data.max_chars is {most}"
            raise ValueError(f"descriptions: {name}: '{shown}' has {length:,} characters, {bound}; write another text")
        key = " ".join(text.split()).casefold()
        if known.get(key) == label:
            raise ValueError(f"descriptions: {name}: lists '{shown}' twice; remove one of them")
        if key in known:
            raise ValueError(
                f"descriptions: '{shown}' describes both '{_short(known[key])}' and '{name}'; say how they differ"
            )
        known[key] = label


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
