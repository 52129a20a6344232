"""The folder that a registry version carries: the learner and all that learning needs to go on.

::

    learner.json  head.safetensors  encoder/  tokenizer/     the model; encoder/model.onnx: a graph that answers for it
    strategies/NAME/                                         each strategy's state: rows.parquet, tensors.safetensors
    reference/                                               the drift reference: frame.parquet, embeddings.safetensors
    best.parquet                                             row scores of the best version so far on each experience
    history.json                                             what it has learnt, its accuracy matrix, its lineage
    manifest.json                                            SHA-256 of every file above
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from pydantic import Field

from cl.detectors import Snapshot
from cl.records import Form, Record
from cl.stores.local import write_text
from cl.strategies import State


class History(Record):
    """Where a version comes from and what it knows."""

    learnt: list[str] = Field(default_factory=list, description="Experiences that were trained on, oldest first")
    matrix: dict[str, dict[str, float]] = Field(default_factory=dict, description="R, one row for each update")
    score: float | None = Field(default=None, description="Mean row score over all test rows at promotion")
    cycle: str = ""
    parent: str | None = Field(default=None, description="The registry version it was trained from")
    rung: str | None = Field(default=None, description="Of the ladder, where there was one, at which it was learnt")
    form: Form | None = Field(
        default=None, description="How it was derived from its parent, its teacher; None: it was learnt"
    )
    base_model: str = ""
    data_version: str = Field(default="", description="DVC's hash of data/ when it was trained")
    data_dvc: str = Field(default="", description="Text of data.dvc: with the DVC remote it brings the data back")
    config: dict[str, object] = Field(default_factory=dict)
    config_digest: str = Field(default="", description="Hash of all that decides the outcome of a cycle")
    traces: list[str] = Field(
        default_factory=list, description="Experiences that lost rows which its weights have learnt from"
    )
    seed: int = 0
    git_commit: str | None = None
    packages: dict[str, str] = Field(default_factory=dict)
    machine: dict[str, str] = Field(default_factory=dict, description="What computed it: bits may depend on it")


def save_states(states: dict[str, State], folder: Path) -> None:
    """Write the strategies' states below ``folder/strategies``."""
    from safetensors.torch import save_file

    for name, state in states.items():
        place = folder / "strategies" / name
        place.mkdir(parents=True)
        told = {"seen": state.seen, **({} if state.experiences is None else {"experiences": state.experiences})}
        (place / "state.json").write_text(json.dumps(told), encoding="utf-8")
        if state.rows is not None:
            state.rows.to_parquet(place / "rows.parquet", index=False)
        if state.tensors:
            save_file({k: v.contiguous() for k, v in state.tensors.items()}, place / "tensors.safetensors")


def load_states(folder: Path) -> dict[str, State]:
    """Read all states that a version holds, by the strategy's name."""
    from safetensors.torch import load_file

    states = {}
    for place in sorted((folder / "strategies").glob("*")):
        rows, tensors = place / "rows.parquet", place / "tensors.safetensors"
        told = json.loads((place / "state.json").read_text(encoding="utf-8"))
        states[place.name] = State(
            rows=pd.read_parquet(rows) if rows.exists() else None,
            tensors=load_file(tensors) if tensors.exists() else {},
            seen=told["seen"],
            experiences=tuple(told["experiences"]) if "experiences" in told else None,
        )
    return states


def save_reference(snapshot: Snapshot, folder: Path) -> None:
    """Write the drift reference below ``folder/reference``."""
    from safetensors.numpy import save_file

    place = folder / "reference"
    place.mkdir(parents=True, exist_ok=True)
    snapshot.frame.to_parquet(place / "frame.parquet", index=False)
    save_file({"embeddings": snapshot.embeddings}, place / "embeddings.safetensors")
    (place / "known_labels.json").write_text(json.dumps(list(snapshot.known_labels)), encoding="utf-8")


def load_reference(folder: Path) -> Snapshot:
    """Read the drift reference of a version."""
    from safetensors.numpy import load_file

    place = folder / "reference"
    return Snapshot(
        frame=pd.read_parquet(place / "frame.parquet"),
        embeddings=load_file(place / "embeddings.safetensors")["embeddings"],
        known_labels=tuple(json.loads((place / "known_labels.json").read_text(encoding="utf-8"))),
    )


def save_history(history: History, folder: Path) -> None:
    """Write history.json."""
    write_text(folder / "history.json", history.model_dump_json(indent=1))


def load_history(folder: Path) -> History:
    """Read history.json."""
    return History.model_validate_json((folder / "history.json").read_text(encoding="utf-8"))
