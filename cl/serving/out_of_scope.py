"""Whether a text is of a kind that the version was promoted on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cl import plugins
from cl.drift.detectors import Detector, few_texts
from cl.drift.detectors.novelty import Novelty, distances, normalise
from cl.errors import UnknownPluginError
from cl.models.snapshot import load_reference
from cl.stores.version_folder import load_history


@dataclass(frozen=True)
class OutOfScopeCheck:
    """The reference of a version, and how far from it a text may lie: the rule of the detector `novelty`."""

    reference: np.ndarray
    neighbours: int
    threshold: float

    def outside(self, embeddings: np.ndarray) -> np.ndarray:
        """Return one boolean for each embedding (rows, width): whether it lies beyond the threshold."""
        return distances(normalise(embeddings), self.reference, self.neighbours) > self.threshold


def build_scope(folder: Path) -> OutOfScopeCheck | None:
    """Return the scope of a version; None where it was promoted without `novelty`, or on too few rows for it."""
    if not (folder / "reference" / "embeddings.safetensors").is_file():
        return None
    history = load_history(folder)
    novelty = _novelty(history.config)
    if novelty is None:
        return None
    embeddings = load_reference(folder).embeddings
    if len(embeddings) < max(novelty.min_rows, novelty.neighbours + 1):
        return None
    reference = normalise(few_texts(embeddings, novelty.max_rows, np.random.default_rng(history.seed)))
    inside = distances(reference, reference, novelty.neighbours + 1)  # the nearest of all is the row itself
    return OutOfScopeCheck(reference, novelty.neighbours, novelty.threshold(inside))


def _novelty(config: dict[str, Any]) -> Novelty | None:
    for spec in config.get("drift", {}).get("detectors", []):
        try:
            detector = plugins.build(Detector, spec)
        except UnknownPluginError:  # of an older release
            continue
        if isinstance(detector, Novelty):
            return detector
    return None
