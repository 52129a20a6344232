"""Sentences about people and firms, of which some types are annotated."""

from __future__ import annotations

import numpy as np
import pandas as pd

PEOPLE, FIRMS = ["anna", "ben"], ["bank", "shoe", "lamp"]
FRAMES = [["{p}", "lives", "in", "york"], ["{p}", "visited", "the", "{f}"], ["the", "{f}", "said", "{p}", "is", "new"],
          ["please", "help", "the", "{f}"], ["where", "is", "{p}"]]  # fmt: skip


def annotated_sentences(rows: int, types: set[str], *, seed: int, annotated: list[str] | None = None) -> pd.DataFrame:
    """Sentences of people and firms in which only some types are tagged."""
    rng, tokens, tags = np.random.default_rng(seed), [], []
    for row in range(rows):
        frame = FRAMES[row % len(FRAMES)]
        chosen = {"{p}": ("PER", rng.choice(PEOPLE)), "{f}": ("ORG", rng.choice(FIRMS))}
        tokens.append([str(chosen[word][1]) if word in chosen else word for word in frame])
        tags.append([f"B-{chosen[word][0]}" if word in chosen and chosen[word][0] in types else "O" for word in frame])
    frame = pd.DataFrame({"id": [f"{seed}-{row}" for row in range(rows)], "tokens": tokens, "tags": tags, "date": None})
    return frame if annotated is None else frame.assign(annotated=pd.Series([annotated] * rows, dtype=object))
