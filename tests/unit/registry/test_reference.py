"""The drift reference: held-out rows as the version would answer them, had it not learned them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cl.models.inference import score_rows
from cl.models.persistence import load_learner
from cl.registry.register import drift_reference
from cl.training.train import train


@pytest.mark.parametrize(("strategy", "learns"), [({"name": "ranpac", "features": 400}, True), ("ncm", False)])
def test_validation_rows_that_a_version_has_learned_look_as_new_to_it_as_test_rows(
    strategy, learns, tiny_config, sentences, tmp_path
) -> None:
    """Labels by chance: whoever has learned a row answers it right, whoever has not answers half of them."""

    def rows_of(ids: list[str], split: str) -> pd.DataFrame:
        size = {"train": 60, "validation": 80, "test": 80}[split] if ids else 0
        rows = sentences(["loan", "fee"], size, seed=len(split), prefix=split)
        return rows.assign(label=rows["label"].to_numpy()[np.random.default_rng(1).permutation(len(rows))])

    config = tiny_config(strategy=strategy)
    done = train(config, champion=None, new=["1"], past=[], rows_of=rows_of, folder=tmp_path / "v")
    reference = drift_reference(config, rows_of, tmp_path / "v", ["1"])
    scores = reference.frame.set_index("id")["score"]
    validation, test = (rows_of(["1"], split) for split in ("validation", "test"))
    assert len(reference.frame) == len(reference.embeddings) == 160
    assert scores[validation["id"]].mean() == pytest.approx(done.validation_score)
    learner = load_learner(tmp_path / "v")
    assert scores[test["id"]].mean() == pytest.approx(score_rows(learner, test)[0])
    seen = score_rows(learner, validation)[0]
    assert (seen > done.validation_score + 0.1) == learns
