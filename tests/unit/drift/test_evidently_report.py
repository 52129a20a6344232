from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from cl.drift.evidently_report import _describe, write_drift_report
from cl.models.snapshot import Snapshot

pytestmark = pytest.mark.usefixtures("evidently_imported")


def seen(rows: int, seed: int, *, text: str = "my card is lost", labels: tuple[str, ...] = ("loan", "fee")) -> Snapshot:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"id": [f"{at}" for at in range(rows)], "text": [f"{text} {at % 7}" for at in range(rows)]})
    frame["label"] = frame["prediction"] = rng.choice(labels, rows)
    frame["confidence"], frame["score"] = rng.uniform(size=rows), 1.0
    return Snapshot(frame, rng.normal(size=(rows, 16)).astype(np.float32), labels)


def test_the_report_is_a_page_and_its_numbers(tmp_path) -> None:
    folder = write_drift_report(seen(120, 0), seen(60, 1), tmp_path / "drift", seed=0)
    assert folder == tmp_path / "drift"
    assert sorted(path.name for path in folder.iterdir()) == ["drift.html", "drift.json"]
    names = [metric["metric_name"] for metric in json.loads((folder / "drift.json").read_text())["metrics"]]
    for column in ("label", "prediction", "confidence", "words", "unknown_word_share", "component_3"):
        assert any(f"column={column}," in name for name in names)


def test_no_text_and_no_script_of_the_data_gets_into_the_page(tmp_path) -> None:
    attack = "</script><script>alert(7)</script>"
    labels = (attack, *(f"label {at}" for at in range(60)))
    folder = write_drift_report(
        seen(200, 0, text=attack, labels=labels),
        seen(200, 1, text="Grüße, 你好", labels=labels),
        tmp_path,
        seed=0,
    )
    assert folder is not None
    assert "<script>alert(7)" not in (folder / "drift.html").read_text(encoding="utf-8")


def test_one_row_is_too_few_for_a_report(tmp_path) -> None:
    assert write_drift_report(seen(50, 0), seen(1, 1), tmp_path / "drift", seed=0) is None
    assert write_drift_report(seen(0, 0), seen(50, 1), tmp_path / "drift", seed=0) is None
    assert not (tmp_path / "drift").exists()


def test_words_of_the_reference_are_no_more_known_than_those_of_new_rows() -> None:
    reference = seen(3, 0)
    reference.frame["text"] = ["lost card", "lost parcel", "new loan"]
    new = seen(2, 1)
    new.frame["text"] = ["lost loan", "unheard of"]
    assert _describe(reference, reference, 0)["unknown_word_share"].tolist() == [0.5, 0.5, 1.0]
    assert _describe(new, reference, 0)["unknown_word_share"].tolist() == [0.0, 1.0]
