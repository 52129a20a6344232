from __future__ import annotations

import numpy as np
import pandas as pd

from cl.drift.detectors.descriptors import Descriptors
from cl.drift.text_statistics import describe, vocabulary
from cl.models.snapshot import Snapshot

WORDS = np.array([f"word{chr(97 + at // 26)}{chr(97 + at % 26)}" for at in range(200)])


def written(rows: int, seed: int, *, errors: float = 0.0, longer: int = 0) -> Snapshot:
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(rows):
        words = rng.choice(WORDS, 6 + longer + rng.integers(0, 3))
        texts.append(" ".join(word[::-1] if rng.uniform() < errors else word for word in words))
    frame = pd.DataFrame({"id": [f"{seed}-{at}" for at in range(rows)], "text": texts})
    return Snapshot(frame, np.zeros((rows, 0), dtype=np.float32))


def detect(reference: Snapshot, new: Snapshot):
    return Descriptors().detect(reference, new, alpha=0.001, seed=0)


def test_a_text_is_described_by_its_own_numbers() -> None:
    known = vocabulary(pd.Series(["the card", "my card"]))
    (row,) = describe(pd.Series(["the CARD?! 7 x"]), known, among=False).to_dict("records")
    assert row == {"characters": 14, "words": 4, "non_letter_share": 3 / 14, "unknown_word_share": 0.5}
    assert describe(pd.Series(["the card", "my card"]), known, among=True)["unknown_word_share"].tolist() == [0.5, 0.5]


def test_typing_errors_in_a_tenth_of_the_words_are_an_alarm_with_examples() -> None:
    finding = detect(written(400, 0), written(200, 1, errors=0.1))
    assert finding.drifted and finding.summary.startswith("unknown word share: mean 0 to 0.09")
    assert 0 < len(finding.examples) <= 20 and all(id.startswith("1-") for id in finding.examples)
    assert len(finding.moved) == 10


def test_longer_texts_are_an_alarm_and_like_ones_are_not() -> None:
    assert detect(written(300, 0), written(100, 1, longer=2)).drifted
    assert not detect(written(300, 0), written(100, 1)).drifted


def test_the_word_that_moved_most_is_named() -> None:
    new = written(200, 1)
    new.frame.loc[:60, "text"] += " refund"
    finding = detect(written(400, 0), new)
    assert finding.moved[0].name == "refund" and finding.moved[0].before == 0.0 and finding.moved[0].after > 0.3
