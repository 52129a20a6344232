from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cl.config import OutOfScope
from cl.errors import ConfigError
from cl.evaluation.out_of_scope import auroc, measure_out_of_scope, rank_scores, read_texts

TABLE = pd.DataFrame(
    {
        "target": ["loan", "fee", "oos", "oos"],
        "challenger": ["loan", "fee", "oos", "loan"],
        "confidence": [0.9, 0.6, 0.5, 0.7],
    }
)


def test_auroc_is_the_chance_that_a_strange_row_ranks_above_a_known_one() -> None:
    assert auroc(np.array([0.9, 0.4]), np.array([0.1, 0.4])) == pytest.approx((1 + 1 + 1 + 0.5) / 4)
    assert auroc(np.array([]), np.array([0.1])) is None


def test_an_answer_that_says_out_of_scope_ranks_above_every_doubt() -> None:
    assert rank_scores(TABLE["challenger"], TABLE["confidence"], "oos").tolist() == pytest.approx([0.1, 0.4, 1.5, 0.3])


def test_rows_with_the_label_are_out_of_scope_and_without_any_there_is_no_number(learner) -> None:
    found = measure_out_of_scope(learner, TABLE, "challenger", "confidence", label="oos", texts=[])
    assert found == {"oos_auroc": pytest.approx(3 / 4)}
    assert measure_out_of_scope(learner, TABLE, "challenger", "confidence", label=None, texts=[]) == {}


def test_texts_of_a_file_are_answered_and_ranked_beside_the_rows(learner, tmp_path) -> None:
    (tmp_path / "strange.txt").write_text("tuesday in paris\n\n  ben lives in york \n")
    texts = read_texts(OutOfScope(file="strange.txt"), tmp_path)
    assert texts == ["tuesday in paris", "ben lives in york"]
    certain = TABLE.assign(confidence=1.0)
    assert measure_out_of_scope(learner, certain, "challenger", "confidence", label=None, texts=texts) == {
        "oos_auroc": 1.0
    }


def test_a_file_that_is_not_there_or_not_in_the_project_is_told_by_its_key(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"evaluation\.out_of_scope\.file: .*none\.txt cannot be read"):
        read_texts(OutOfScope(file="none.txt"), tmp_path)
    with pytest.raises(ConfigError, match="is outside the project"):
        read_texts(OutOfScope(file="../other.txt"), tmp_path)
    assert read_texts(OutOfScope(), tmp_path) == []
