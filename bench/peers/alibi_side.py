"""alibi-detect's half of bench/drift.py: its MMD with its defaults on embeddings, p-values as one JSON line."""

from __future__ import annotations

import json
import sys

import numpy as np
from alibi_detect.cd import MMDDrift


def main(path: str) -> None:
    pairs = np.load(path)
    detector = MMDDrift(pairs["reference"], backend="pytorch", p_val=0.05)
    names = [name for name in pairs.files if name != "reference"]
    print(json.dumps({name: float(detector.predict(pairs[name])["data"]["p_val"]) for name in names}))


if __name__ == "__main__":
    main(sys.argv[1])
