"""Two projects of a pipeline: one learns who and what is named in a sentence, the other how the two are related."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.support.desk import Desk, new_desk

PEOPLE, FIRMS = ["anna", "ben"], ["bank", "shoe", "lamp"]
VERBS = {"works at": "works_at", "visited": "visited"}
NONE = "none"
QUICKLY: dict[str, Any] = {
    "gates": [],
    "strategy": "naive",
    "training": {
        "epochs": 25,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "head_learning_rate": 1e-2,
        "precision": "float32",
    },
    "evaluation": {"smoke_rows": 0, "robustness": [], "latency_calls": 1, "baselines": False},
    "data": {"split": {"validation": 0.1, "test": 0.2}},
    "drift": {"report": "off"},
}
"""Settings with which a project learns such sentences in seconds."""


def tagged_sentences(rows: int, *, seed: int, firms: bool = True) -> pd.DataFrame:
    """Return sentences of people and firms in words with tags; ``firms``: whether firms are tagged, too."""
    rng, parts = np.random.default_rng(seed), []
    for row in range(rows):
        said, person, verb, firm = _drawn(rng)
        tags = [*["O"] * len(said), "B-PER", *["O"] * len(verb.split()), "O", "B-ORG" if firms else "O"]
        parts.append({"id": f"{seed}-{row}", "tokens": [*said, person, *verb.split(), "the", firm], "tags": tags})
    return pd.DataFrame(parts)


def related_pairs(rows: int, *, seed: int) -> pd.DataFrame:
    """Return both ordered pairs of person and firm in each of some sentences, with their relation."""
    rng, parts = np.random.default_rng(seed), []
    for row in range(rows // 2):
        said, person, verb, firm = _drawn(rng)
        text = f"{' '.join(said)} {person} {verb} the {firm}"
        spans = [[text.rindex(word), text.rindex(word) + len(word)] for word in (person, firm)]
        for number, (head, tail) in enumerate([spans, spans[::-1]]):
            relation = NONE if number else VERBS[verb]
            key = f"{seed}-{row}-{number}"
            parts.append({"id": key, "text": text, "head": head, "tail": tail, "relation": relation})
    return pd.DataFrame(parts)


def _drawn(rng: np.random.Generator) -> tuple[list[str], str, str, str]:
    """Return words that say nothing, but tell sentences apart, and a person, a verb and a firm."""
    said = [str(word) for word in rng.choice(["please", "tuesday", "new", "old", "help", "send"], size=4)]
    return said, str(rng.choice(PEOPLE)), str(rng.choice(list(VERBS))), str(rng.choice(FIRMS))


def ingest(desk: Desk, rows: pd.DataFrame, name: str) -> None:
    """Let rows come to a project as a file."""
    path = desk.project.parent / f"{desk.project.name}-{name}.jsonl"
    rows.to_json(path, orient="records", lines=True)
    done = desk.cl("ingest", str(path))
    assert done.returncode == 0, done.stderr


def people_project(folder: Path, tiny_model: Path) -> Desk:
    """Make a project that learns entities; it has learned nothing yet."""
    desk = new_desk(folder, tiny_model)
    desk.configure(name="people", task="token_classification", **QUICKLY)
    return desk


def relations_project(folder: Path, tiny_model: Path, people: Desk, *, tagger: str = "people@champion") -> Desk:
    """Make a project that learns relations between the entities of another one; it has learned nothing yet."""
    desk = new_desk(folder, tiny_model)
    desk.configure(
        name="relations",
        task={"name": "relation_extraction", "no_relation": NONE},
        **QUICKLY,
        pipeline={"tagger": tagger, "tracking_uri": f"sqlite:///../{people.project.name}/mlflow/mlflow.db"},
    )
    return desk
