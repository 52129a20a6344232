"""What holds for every file in cl/drift/detectors, also for those that are yet to come."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from cl import plugins
from cl.models.snapshot import Snapshot

EVERY = pytest.mark.parametrize("name", plugins.names("detectors"))


def snapshot(rows: int, seed: int, *, constant: bool = False) -> Snapshot:
    rng = np.random.default_rng(seed)
    labels = np.array(["loan"] * rows) if constant else rng.choice(["loan", "fee", "card"], rows)
    frame = pd.DataFrame({"id": [str(at) for at in range(rows)], "text": "a text", "label": labels})
    frame["prediction"] = labels
    frame["confidence"] = 0.5 if constant else rng.uniform(size=rows)
    frame["score"] = 1.0 if constant else rng.integers(0, 2, rows).astype(float)
    frame["answer"] = "we can" if constant else rng.choice(["i cannot say", "we send one today", "yes"], rows)
    frame["nll"] = 1.0 if constant else rng.uniform(size=rows)
    embeddings = np.ones((rows, 8)) if constant else rng.normal(size=(rows, 8))
    return Snapshot(frame, embeddings.astype(np.float32), ("card", "fee", "loan"))


@EVERY
@pytest.mark.parametrize("sides", [(0, 0), (0, 50), (50, 0), (1, 1), (1, 50), (50, 1), (2, 2)])
def test_too_few_rows_are_no_alarm_and_no_error(name, sides) -> None:
    reference, new = (snapshot(rows, seed) for seed, rows in enumerate(sides))
    finding = plugins.build("detectors", name).detect(reference, new, alpha=0.01, seed=0)
    assert not finding.drifted
    assert name == "new_labels" or (finding.p_value is None and "not enough data: needs" in finding.summary)


@EVERY
def test_rows_that_are_all_the_same_are_no_alarm_and_no_error(name) -> None:
    reference, new = snapshot(60, 0, constant=True), snapshot(60, 1, constant=True)
    assert not plugins.build("detectors", name).detect(reference, new, alpha=0.05, seed=0).drifted


@EVERY
def test_the_same_seed_gives_the_same_finding(name) -> None:
    detector = plugins.build("detectors", name)
    first, second = (detector.detect(snapshot(90, 0), snapshot(80, 1), alpha=0.05, seed=3) for _ in "ab")
    assert first == second
    assert first.detector == name


@EVERY
def test_an_alarm_explains_itself_with_words_or_names_and_rows(name) -> None:
    reference, new = snapshot(90, 0), snapshot(80, 1)
    new.frame.loc[:9, "label"] = "gift"
    new.frame["text"] = "another text"
    detector = plugins.build("detectors", name)
    finding = detector.explain(detector.detect(reference, new, alpha=0.05, seed=0), reference, new)
    assert finding.moved and all(one.before != one.after for one in finding.moved[:1])
    assert len(finding.examples) <= 20 and set(finding.examples) <= set(new.frame["id"])
    assert finding.examples or name in ("novelty", "descriptors")


@EVERY
def test_a_detector_refuses_a_field_it_does_not_have(name) -> None:
    with pytest.raises(ValidationError):
        plugins.build("detectors", {"name": name, "nonsense": 1})


@EVERY
def test_a_batch_with_as_many_rows_of_each_of_many_labels_is_no_alarm(name) -> None:
    """Such a batch is more even than chance, so whatever is chosen by its counts would seem to have moved."""
    labels, alarms = np.array([f"label {at}" for at in range(400)]), 0
    for seed in range(10):
        reference, new = snapshot(200, 2 * seed), snapshot(len(labels), 2 * seed + 1)
        drawn = np.random.default_rng(seed).choice(labels, len(reference.frame))
        for side, chosen in ((reference, drawn), (new, labels)):
            side.frame["label"] = side.frame["prediction"] = chosen
        sides = [Snapshot(side.frame, side.embeddings, tuple(labels)) for side in (reference, new)]
        alarms += plugins.build("detectors", name).detect(*sides, alpha=0.01, seed=seed).drifted
    assert alarms <= 2  # 3 or more of 10 at 1 % have a chance of 0.01 %
