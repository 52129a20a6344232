"""Out-of-scope check: whether a text resembles the data that a version was promoted on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cl import plugins
from cl.drift.detectors import Detector, sample_rows
from cl.drift.detectors.novelty import Novelty, distances, normalise
from cl.errors import UnknownPluginError
from cl.models.snapshot import load_reference
from cl.stores.version_folder import load_history


@dataclass(frozen=True)
class OutOfScopeCheck:
    """A version's reference and the largest distance of a text from it: the rule of the detector `novelty`."""

    reference: np.ndarray
    neighbours: int
    threshold: float

    def outside(self, embeddings: np.ndarray) -> np.ndarray:
        """Return for each embedding (rows, width) whether it lies beyond the threshold."""
        return distances(normalise(embeddings), self.reference, self.neighbours) > self.threshold


def build_scope(folder: Path) -> OutOfScopeCheck | None:
    """Return the scope of a version, or None if it was promoted without `novelty` or on too few rows for it."""
    if not (folder / "reference" / "embeddings.safetensors").is_file():
        return None
    history = load_history(folder)
    novelty = _find_novelty(history.config)
    if novelty is None:
        return None
    embeddings = load_reference(folder).embeddings
    if len(embeddings) < max(novelty.min_rows, novelty.neighbours + 1):
        return None
    reference = normalise(sample_rows(embeddings, novelty.max_rows, np.random.default_rng(history.seed)))
    typical_distances = distances(
        reference, reference, novelty.neighbours + 1
    )  # the nearest neighbour is the row itself
    return OutOfScopeCheck(reference, novelty.neighbours, novelty.threshold(typical_distances))


def _find_novelty(config: dict[str, Any]) -> Novelty | None:
    for spec in config.get("drift", {}).get("detectors", []):
        try:
            detector = plugins.build(Detector, spec)
        except UnknownPluginError:  # from an older release
            continue
        if isinstance(detector, Novelty):
            return detector
    return None
