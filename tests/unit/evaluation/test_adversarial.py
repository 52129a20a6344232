from __future__ import annotations

import pytest

from cl import plugins
from cl.evaluation.adversarial import _perturbation, measure_adversarial
from cl.models.batching import collate
from cl.models.inference import predict
from tests.support.measured import trained


def accuracy(learner, rows, values) -> float:
    return learner.task.score(rows, values)["accuracy"]


def test_the_further_an_adversary_may_go_the_fewer_answers_stay_right(learner, unseen) -> None:
    clean = accuracy(learner, unseen, [one.value for one in predict(learner, unseen)])
    near, far = (accuracy(learner, unseen, measure_adversarial(learner, unseen, epsilon=by)) for by in (0.02, 0.5))
    assert clean >= near > far


def test_each_word_moves_by_its_share_of_its_own_length(learner, unseen) -> None:
    encoded = learner.encode(unseen.head(4))
    batch = collate(learner.task, encoded, [0, 1, 2, 3], learner.tokenizer.pad_token_id, learner.device)
    moved = _perturbation(learner, batch, 0.25)
    lengths = learner.encoder.get_input_embeddings()(batch.input_ids).norm(dim=-1)
    shares = (moved.norm(dim=-1) / lengths)[batch.mask.bool()]
    assert shares.tolist() == pytest.approx([0.25] * int(batch.mask.sum()), rel=1e-3)
    assert not any(parameter.grad is not None for parameter in learner.encoder.parameters())


@pytest.mark.parametrize("tuning", plugins.names("tunings"))
def test_every_tuning_is_open_to_it(tuning, tmp_path, tiny_model, unseen) -> None:
    learner = trained(tmp_path / "1", tiny_model, model={"tuning": tuning, "max_length": 32})
    still = [one.value for one in predict(learner, unseen)]
    assert measure_adversarial(learner, unseen, epsilon=1e-9) == still
    assert measure_adversarial(learner, unseen, epsilon=0.5) != still


@pytest.mark.parametrize("strategy", [{"name": "ranpac", "features": 200}, "ncm"])
def test_a_gradient_passes_through_the_rounding_of_a_closed_form(strategy, tmp_path, tiny_model, unseen) -> None:
    learner = trained(tmp_path / "1", tiny_model, strategy=strategy)
    still = [one.value for one in predict(learner, unseen)]
    assert measure_adversarial(learner, unseen, epsilon=1e-9) == still
    assert accuracy(learner, unseen, measure_adversarial(learner, unseen, epsilon=0.3)) < accuracy(
        learner, unseen, still
    )
