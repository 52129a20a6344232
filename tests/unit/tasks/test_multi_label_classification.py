from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import f1_score, hamming_loss

from cl.drift.detectors.new_labels import unknown_label_rows
from cl.errors import InputError
from cl.models.build import grow_labels, new_learner
from cl.models.inference import answer, choose_thresholds, score_rows
from cl.models.persistence import load_learner, save_learner
from cl.models.pretrained import load_tokenizer
from cl.tasks import Encoded, Targets
from cl.tasks.multi_label_classification import MultiLabelClassification, best_threshold
from cl.training.train import train
from tests.support.task_rows import made_rows

TASK = MultiLabelClassification()
ROWS = pd.DataFrame(
    {
        "id": ["1", "2", "3"],
        "text": ["my card is lost, and the fee", "pay the fee", "where is anna"],
        "labels": [["fee", "card"], ["fee"], []],
    }
)


def encoded(model, rows=ROWS, labels=("fee", "card", "loan")) -> list[Encoded]:
    return TASK.encode(rows, load_tokenizer(str(model)), list(labels), max_length=16)


def test_targets_are_1_where_a_label_applies_and_0_where_not_and_missing_where_nobody_said(tiny_model) -> None:
    assert TASK.labels(ROWS) == ["card", "fee"]
    targets = TASK.flat_targets(encoded(tiny_model, ROWS.assign(labels=[["fee", "card"], ["strange"], None])))
    assert targets.tolist() == [[1, 1, 0], [0, 0, 0], [-100, -100, -100]]
    assert TASK.flat_targets(encoded(tiny_model, ROWS[["text"]])).eq(-100).all()
    assert TASK.flat_targets([]).shape == (0, 0)


def test_the_loss_is_the_mean_binary_cross_entropy_over_what_is_known() -> None:
    logits, targets = torch.tensor([[2.0, -1.0], [0.5, 3.0], [9.0, 9.0]]), torch.tensor([[1, 0], [0, 1], [-100, -100]])
    probabilities = logits[:2].sigmoid()
    terms = -torch.where(targets[:2] > 0, probabilities, 1 - probabilities).log()
    torch.testing.assert_close(TASK.loss(logits, targets), terms.mean())
    torch.testing.assert_close(TASK.loss(logits, targets, summed=True), terms.sum())
    weights = torch.tensor([3.0, 1.0, 5.0])
    torch.testing.assert_close(TASK.loss(logits, targets, weights), (terms * weights[:2, None]).mean())
    assert [len(own) for own in TASK.by_row(logits, targets)] == [1, 1, 0]


def test_labels_are_drawn_with_their_own_probabilities() -> None:
    logits, targets = torch.tensor([[20.0, 0.0, -20.0]]).repeat(4_000, 1), torch.zeros(4_000, 3, dtype=torch.int8)
    targets[0] = -100
    drawn = TASK.draw_targets(logits, targets, torch.Generator().manual_seed(0))
    assert drawn[0].tolist() == [-100] * 3
    assert drawn[1:].float().mean(0).tolist() == pytest.approx([1.0, 0.5, 0.0], abs=0.03)


def test_scores_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 2, (2, 40, 5)).astype(bool)
    names = np.array(list("abcde"))
    rows = pd.DataFrame({"labels": [names[row].tolist() for row in truth]})
    scores = TASK.score(rows, [names[row].tolist() for row in predicted])
    assert scores["micro_f1"] == pytest.approx(f1_score(truth, predicted, average="micro"))
    assert scores["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert scores["subset_accuracy"] == pytest.approx((truth == predicted).all(1).mean())
    assert scores["hamming_accuracy"] == pytest.approx(1 - hamming_loss(truth, predicted))
    by_row = f1_score(truth, predicted, average="samples", zero_division=1.0)
    assert TASK.row_scores(rows, [names[row].tolist() for row in predicted]).mean() == pytest.approx(by_row)
    by_class = TASK.class_scores(rows, [names[row].tolist() for row in predicted])
    assert list(by_class.values()) == pytest.approx(f1_score(truth, predicted, average=None).tolist())


def test_rows_without_any_label_decide_no_f1() -> None:
    rows = pd.DataFrame({"labels": [[], []]})
    assert TASK.score(rows, [[], []]) == {"subset_accuracy": 1.0}
    assert TASK.score_experience("may", rows, [[], []]).undecided.startswith(
        "no label applies to any of its 2 test rows"
    )
    false = TASK.score(rows, [["fee"], []])
    assert false["micro_f1"] == false["macro_f1"] == 0.0 and false["subset_accuracy"] == 0.5


def test_a_label_is_answered_from_its_threshold_on_and_one_without_from_a_half() -> None:
    probabilities, row = np.array([[0.3, 0.6, 0.55]]), Encoded([1], [()], [0], (3, 0))
    assert TASK.decode(probabilities, row, Targets(["a", "b", "c"])).value == ["b", "c"]
    assert TASK.decode(probabilities, row, Targets(["a", "b", "c"], [0.3, 0.7])).value == ["a", "c"]


def test_the_confidence_is_the_f1_to_expect() -> None:
    row, targets = Encoded([1], [()], [0], (2, 0)), Targets(["a", "b"])
    assert TASK.decode(np.array([[1.0, 0.0]]), row, targets).confidence == 1.0
    assert TASK.decode(np.array([[0.8, 0.2]]), row, targets).confidence == pytest.approx(2 * 0.8 / (1 + 1.0))
    assert TASK.decode(np.array([[0.1, 0.2]]), row, targets) == TASK.decode(np.array([[0.1, 0.2]]), row, targets)
    assert TASK.decode(np.array([[0.1, 0.2]]), row, targets).confidence == pytest.approx(0.9 * 0.8)


def test_where_probabilities_are_true_the_confidence_is_the_mean_score() -> None:
    rng, targets, row = np.random.default_rng(0), Targets(list("abcdefgh")), Encoded([1], [()], [0], (8, 0))
    confidence, scores = [], []
    for _ in range(4_000):
        own = rng.beta(0.3, 0.6, 8)
        truth = [label for label, applies in zip(targets.labels, rng.uniform(size=8) < own, strict=True) if applies]
        found = TASK.decode(own[None], row, targets)
        confidence.append(found.confidence)
        scores += TASK.row_scores(pd.DataFrame({"labels": [truth]}), [found.value]).tolist()
    assert np.mean(confidence) == pytest.approx(np.mean(scores), abs=0.03)


def test_the_brier_score_counts_a_label_that_the_model_does_not_know_as_missed(tiny_model) -> None:
    known, strange, unlabelled = encoded(tiny_model, ROWS.assign(labels=[["fee"], ["strange"], None]), ("fee", "card"))
    assert TASK.brier(np.array([[0.8, 0.1]]), known) == pytest.approx(0.04 + 0.01)
    assert TASK.brier(np.array([[0.0, 0.0]]), strange) == pytest.approx(2 / 3)
    assert TASK.brier(np.array([[0.8, 0.1]]), unlabelled) == 0.0


def test_thresholds_maximise_each_f1_and_rare_labels_share_one() -> None:
    rng = np.random.default_rng(1)
    truth = np.stack([rng.uniform(size=300) < share for share in (0.3, 0.2, 0.01)], axis=1)
    probabilities = np.clip(0.3 * truth + rng.uniform(0, 0.5, (300, 3)), 0, 1)
    names = np.array(["a", "b", "c"])
    rows = pd.DataFrame({"labels": [names[row].tolist() for row in truth]})
    limits = TASK.thresholds(rows, probabilities, list(names))
    assert truth[:, 2].sum() < 10 <= truth[:, 1].sum()
    for label in (0, 1):
        grid = [f1_score(truth[:, label], probabilities[:, label] >= limit) for limit in np.linspace(0, 1, 501)]
        assert f1_score(truth[:, label], probabilities[:, label] >= limits[label]) >= max(grid) - 1e-12
    micro = [f1_score(truth, probabilities >= limit, average="micro") for limit in np.linspace(0, 1, 501)]
    assert f1_score(truth, probabilities >= limits[2], average="micro") >= max(micro) - 1e-12
    assert TASK.thresholds(rows.assign(labels=[[]] * 300), probabilities, list(names)) is None
    missing = pd.concat([rows, pd.DataFrame({"labels": [None]})], ignore_index=True)
    assert TASK.thresholds(missing, np.vstack([probabilities, [[1, 1, 1]]]), list(names)) == limits


def test_a_threshold_lies_between_two_different_probabilities() -> None:
    assert best_threshold(np.array([0.4, 0.4, 0.9]), np.array([False, False, True])) == pytest.approx(0.65)
    assert best_threshold(np.array([0.4, 0.4, 0.9]), np.array([True, False, True])) == pytest.approx(0.2)
    assert best_threshold(np.array([0.2, 0.2]), np.array([True, True])) == pytest.approx(0.1)


def test_the_classes_of_a_row_can_be_told_apart_whatever_the_labels_are_called() -> None:
    rows = pd.DataFrame({"labels": [["lost card", "a|b"], ["fee"], []]})
    classes, known = TASK.classes(rows), TASK.class_names(["lost card", "a|b"])
    assert classes.tolist() == ["a/b | lost card", "fee", "(no label)"]
    assert unknown_label_rows(classes, tuple(known), TASK.class_separator).tolist() == [[], ["fee"], []]
    assert TASK.describe(["b", "a"]) == "a | b" and TASK.describe([]) == "(no label)"


@pytest.fixture
def taught(tiny_config, tmp_path):
    """Learn two experiences of five labels; returns the last version's folder and what reads rows."""

    def rows_of(ids: list[str], split: str) -> pd.DataFrame:
        labels, size = (
            {"one": ["loan", "fee", "box"], "two": ["lamp", "shoe"]},
            {"train": 90, "validation": 60, "test": 60},
        )
        parts = [made_rows(TASK, labels[id], size[split], seed=len(split), prefix=f"{id}-{split}") for id in ids]
        return pd.concat(parts, ignore_index=True) if parts else made_rows(TASK, ["loan"], 0)

    def run(strategy):
        training = {"epochs": 25, "batch_size": 8, "learning_rate": 3e-3, "head_learning_rate": 1e-2, "patience": 25}
        config = tiny_config(task=TASK.name, strategy=strategy, training={**training, "precision": "float32"})
        champion, past = None, []
        for id in ("one", "two"):
            train(config, champion=champion, new=[id], past=past, rows_of=rows_of, folder=tmp_path / id)
            champion, past = tmp_path / id, [*past, id]
        return champion, rows_of

    return run


@pytest.mark.parametrize("strategy", ["joint", {"name": "ranpac", "features": 200}], ids=["joint", "ranpac"])
def test_a_version_has_the_thresholds_of_its_validation_rows_and_keeps_them(strategy, taught, tmp_path) -> None:
    folder, rows_of = taught(strategy)
    learner = load_learner(folder)
    assert learner.thresholds is not None and len(learner.thresholds) == len(learner.labels) == 5
    assert all(0 < limit < 1 for limit in learner.thresholds)
    tests = rows_of(["one", "two"], "test")
    assert TASK.main_score(tests, answer(learner, tests).values) > 0.7
    (tmp_path / "again").mkdir()
    save_learner(learner, tmp_path / "again")
    assert load_learner(tmp_path / "again").thresholds == learner.thresholds
    grown = grow_labels(learner, ["new"], seed=1)
    assert len(answer(grown, tests).predictions) == len(tests)


def test_validation_scores_are_those_with_the_thresholds_that_are_chosen_in_the_end(taught) -> None:
    folder, rows_of = taught("joint")
    learner, validation = load_learner(folder), rows_of(["one", "two"], "validation")
    chosen = choose_thresholds(replace(learner, thresholds=None), validation)
    assert chosen.thresholds == learner.thresholds
    with_them, plain = (answer(one, validation).values for one in (chosen, replace(chosen, thresholds=None)))
    better, worse = TASK.class_scores(validation, with_them), TASK.class_scores(validation, plain)
    assert all(better[label] >= worse[label] for label in worse) and better != worse
    assert score_rows(learner, validation)[0] == TASK.main_score(validation, answer(chosen, validation).values)
    assert choose_thresholds(learner, None).thresholds is None


def test_rows_to_which_no_label_ever_applies_teach_nothing(tiny_config, tmp_path) -> None:
    rows = made_rows(TASK, ["loan"], 9).assign(labels=[[]] * 9)
    config = tiny_config(task=TASK.name, strategy="naive")
    with pytest.raises(InputError, match="no label applies to any row"):
        train(config, champion=None, new=["one"], past=[], rows_of=lambda ids, split: rows, folder=tmp_path / "v")


def test_a_learner_without_thresholds_is_left_as_it_is(tiny_config, sentences) -> None:
    learner = grow_labels(new_learner(tiny_config()), ["loan", "fee"], seed=1)
    assert choose_thresholds(learner, sentences(["loan"], 4)) is learner
