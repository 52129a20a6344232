"""The folder of a registered version: the learner and everything that later training needs.

::

    learner.json  head.safetensors  encoder/  tokenizer/     the model; encoder/model.onnx: the graph that serves it
    encoder/frozen.safetensors                               what the tuning does not train: the same in every version
    encoder/trained.safetensors                              the rest; where that split is not worth it, both lie in
                                                             encoder/model.safetensors
    strategies/NAME/                                         each strategy's state: rows.parquet, tensors.safetensors
    reference/                                               the drift reference: frame.parquet, embeddings.safetensors
    probes.json                                              what a language model writes after a few fixed prompts
    best.parquet                                             row scores of the best version so far on each experience
    history.json                                             its experiences, its accuracy matrix, its lineage
    README.md                                                its model card
    manifest.json                                            SHA-256 of every file above
"""

from __future__ import annotations

from pathlib import Path

from cl.records.history import History
from cl.stores.files import write_text


def save_history(history: History, folder: Path) -> None:
    """Write history.json."""
    write_text(folder / "history.json", history.model_dump_json(indent=1))


def load_history(folder: Path) -> History:
    """Read history.json."""
    return History.model_validate_json((folder / "history.json").read_text(encoding="utf-8"))


def former_labels(folder: Path) -> dict[str, str | None]:
    """Return `History.former_labels`; none for a version without a history, such as one that was never registered."""
    return load_history(folder).former_labels if (folder / "history.json").exists() else {}
