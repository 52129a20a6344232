"""alibi-detect's half of bench/drift.py: its MMD with its defaults on embeddings; prints the rows it needs, or 0."""

from __future__ import annotations

import sys

import numpy as np
from alibi_detect.cd import MMDDrift


def main(path: str) -> None:
    pairs = np.load(path)
    detector = MMDDrift(pairs["reference"], backend="pytorch", p_val=0.05)
    names = [name for name in pairs.files if name != "reference"]
    for size in sorted({int(name.partition("-")[0]) for name in names}):
        own = [name for name in names if name.startswith(f"{size}-")]
        if sum(float(detector.predict(pairs[name])["data"]["p_val"]) <= 0.05 for name in own) >= 0.8 * len(own):
            print(size)
            return
    print(0)


if __name__ == "__main__":
    main(sys.argv[1])
