from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from cl.errors import ConfigError
from cl.evaluation.adversarial import measure_adversarial
from cl.evaluation.memory import measure_memory_mb
from cl.models.build import change_tuning, grow_labels, new_learner
from cl.models.feature_cache import cached_in
from cl.models.frozen_features import feature_reader
from cl.models.inference import answer
from cl.models.onnx.graph import has_graph
from cl.models.persistence import load_learner, save_learner
from cl.models.windows import Windows
from cl.serving.served_model import load_served_model
from cl.training.strategies._per_example_gradients import add_square, mean_over_rows
from tests.support.batches import batch_of
from tests.support.families import FAMILIES
from tests.support.onnx_versions import with_graph
from tests.support.tiny import WORDS

SETTINGS = {"overlap": 4, "at_most": 8}
LENGTH = 16


@pytest.fixture
def learner_of(tiny_config, tiny_model):
    def make(windows=SETTINGS, *, task="text_classification", name=tiny_model, max_length=LENGTH, **model):
        given = {"name": str(name), "dropout": 0.0, "max_length": max_length, "windows": windows, **model}
        learner = new_learner(tiny_config(task=task, model=given))
        labels = ["fee", "loan"] if task == "text_classification" else ["O", "B-PER", "I-PER"]
        learner = grow_labels(learner, labels, seed=0)
        with torch.no_grad():
            for parameter in learner.head.parameters():
                parameter.mul_(20)
        learner.eval_mode()
        return learner

    return make


def words(count: int, seed: int = 0) -> list[str]:
    return np.random.default_rng(seed).choice(WORDS, size=count).tolist()


def texts(*lengths: int) -> pd.DataFrame:
    rows = [" ".join(words(length, seed)) for seed, length in enumerate(lengths)]
    return pd.DataFrame({"id": [str(n) for n in range(len(rows))], "text": rows, "label": "fee"})


def sentences(*lengths: int) -> pd.DataFrame:
    rows = texts(*lengths)["text"].str.split()
    return pd.DataFrame(
        {"id": [str(n) for n in range(len(rows))], "tokens": rows, "tags": rows.map(lambda row: ["O"] * len(row))}
    )


@pytest.mark.parametrize("length", [5, 12, 13, 17, 40, 71])
@pytest.mark.parametrize(("size", "overlap", "before", "after"), [(12, 4, 1, 1), (12, 0, 0, 0), (9, 6, 1, 0)])
def test_each_token_is_read_once_where_it_is_farthest_from_an_edge(length, size, overlap, before, after) -> None:
    windows = Windows(size, overlap, 100, tuple(range(900, 900 + before)), tuple(range(990, 990 + after)))
    ids = torch.tensor([*windows.before, *range(length - before - after), *windows.after])[None]
    batch = windows.split(ids, torch.ones_like(ids), pad_id=-1)
    assert torch.equal(batch.stitch(batch.input_ids), ids), "every token is itself"
    assert batch.input_ids.shape[1] <= size
    room, starts = windows.room, windows.starts(length)
    for token in range(length - before - after if len(starts) > 1 else 0):
        margins = [
            min(token - start if start else 99, start + room - 1 - token if start != starts[-1] else 99)
            for start in starts
            if start <= token < start + room
        ]
        read = starts[int(batch.window[0, before + token])]
        margin = min(token - read if read else 99, read + room - 1 - token if read != starts[-1] else 99)
        assert margin == max(margins)


def test_a_row_is_cut_behind_its_last_window(learner_of) -> None:
    learner = learner_of()
    (encoded,) = learner.encode(texts(500))
    windows = learner.windows
    assert len(encoded.input_ids) == learner.longest == LENGTH + 7 * (LENGTH - 2 - 4)
    assert len(windows.starts(learner.longest)) == 8 and len(windows.starts(learner.longest + 1)) == 9


@pytest.mark.parametrize("task", ["text_classification", "token_classification"])
def test_short_texts_are_answered_to_the_bit_as_without_windows(task, learner_of) -> None:
    short = texts(3, 9, 14) if task == "text_classification" else sentences(3, 9, 14)
    cut, windowed = answer(learner_of(None, task=task), short), answer(learner_of(task=task), short)
    assert cut.predictions == windowed.predictions
    assert np.array_equal(cut.embeddings, windowed.embeddings)


def test_without_windows_rows_are_cut_as_ever(learner_of) -> None:
    learner = learner_of(None)
    assert learner.windows is None and learner.longest == LENGTH
    assert [len(row.input_ids) for row in learner.encode(texts(3, 40))] == [5, LENGTH]


def test_a_long_text_has_the_mean_of_its_windows_logits_weighted_by_the_tokens_read_there(learner_of) -> None:
    learner = learner_of()
    (encoded,) = learner.encode(texts(41))
    ids = torch.tensor([encoded.input_ids])
    batch = learner.windows.split(ids, torch.ones_like(ids), pad_id=0)
    expected = torch.zeros(2)
    with torch.no_grad():
        for number in range(len(batch.input_ids)):
            own = batch.input_ids[number][batch.mask[number].bool()][None]
            (states,) = learner.states(own, torch.ones_like(own))
            read = batch.position[0][batch.window[0] == number]
            expected += learner.head(states[0, read].mean(0)) * len(read) / ids.shape[1]
        torch.testing.assert_close(learner.logits(batch_of(ids))[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("task", ["text_classification", "token_classification"])
def test_a_long_row_is_answered_the_same_alone_and_beside_others(task, learner_of) -> None:
    learner, rows = learner_of(task=task), (texts if task == "text_classification" else sentences)(60, 3, 25, 90)
    alone = [answer(learner, rows.iloc[[row]]) for row in range(4)]
    together = answer(learner, rows)
    assert [single.values[0] for single in alone] == together.values
    for row, single in enumerate(alone):
        np.testing.assert_allclose(single.embeddings[0], together.embeddings[row], rtol=1e-4, atol=1e-5)


def test_the_tags_of_a_long_sentence_are_those_of_the_windows_around_its_words(learner_of) -> None:
    learner = learner_of(task="token_classification")
    long = sentences(70)
    (tags,) = answer(learner, long).values
    # the window that holds words 25 to 38 alone: words far from its edges have the tags that it gives them
    start = learner.windows.starts(72)[2]
    inner = pd.DataFrame({"tokens": [long["tokens"][0][start : start + learner.windows.room]]})
    (own,) = answer(learner, inner).values
    middle = slice(4, learner.windows.room - 4)
    assert tags[start:][middle] == own[middle] and len(tags) == 70


@pytest.mark.parametrize("family", ["roberta", "longformer", "modernbert", "gpt2", "t5"])
def test_any_family_reads_long_texts(family, learner_of, tmp_path) -> None:
    folder = FAMILIES[family].save(tmp_path / "model", pad=False)
    learner = learner_of(name=folder, pooling="mean")
    answers = answer(learner, texts(2, 50, 100))
    assert len(answers.predictions) == 3 and np.isfinite(answers.embeddings).all()
    assert not np.allclose(
        answers.embeddings[1:], answer(learner_of(None, name=folder, pooling="mean"), texts(2, 50, 100)).embeddings[1:]
    )


def test_features_below_a_solved_head_are_cached_apart_from_those_of_other_windows(learner_of, tmp_path) -> None:
    from cl.models.closed_form_head import ClosedFormHead

    learners = [learner_of(), learner_of({"overlap": 1, "at_most": 8}), learner_of(), learner_of(None)]
    long, found = texts(3, 60), []
    with cached_in(tmp_path / "features.db"):
        for learner in learners:
            head = ClosedFormHead(learner.width, 2)
            found.append(feature_reader(learner, head)(learner.encode(long)))
    assert all(torch.equal(found[0][0], other[0]) for other in found), "a short text's features are shared"
    first, other_overlap, again, cut = (features[1] for features in found)
    assert torch.equal(first, again)
    assert not torch.equal(first, other_overlap) and not torch.equal(first, cut)


def test_importances_are_those_of_rows_not_of_windows(learner_of) -> None:
    learner = learner_of()
    rows = texts(3, 60, 5, 40)

    def importance(rows_at_once: int) -> dict[str, torch.Tensor]:
        return mean_over_rows(
            learner, rows, objective=lambda logits, _: logits[:, 0].sum(), add=add_square, rows_at_once=rows_at_once
        )

    one, many = importance(1), importance(32)
    assert all(torch.allclose(one[name], many[name], rtol=1e-4, atol=1e-7) for name in one)


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_a_served_version_answers_long_texts_as_its_learner_does(runtime, learner_of, tmp_path) -> None:
    learner, rows = learner_of(), texts(3, 60, 90)
    if runtime == "torch":
        save_learner(learner, tmp_path)
    else:
        with_graph(learner, tmp_path)
    loaded = load_learner(tmp_path)
    assert loaded.settings.windows == learner.settings.windows
    assert has_graph(tmp_path / "encoder") == (runtime == "onnx")
    served = load_served_model("1", tmp_path, "float32")
    found = served.answer(list(rows["text"]), served.encode(list(rows["text"])))
    expected, direct = (answer(model, rows).predictions for model in (learner, loaded))
    for ours, theirs, prediction in zip(found, expected, direct, strict=True):
        assert ours.value == theirs.value == prediction.value
        assert ours.confidence == pytest.approx(theirs.confidence, abs=1e-4)


def test_what_is_measured_is_measured_of_long_texts_too(learner_of) -> None:
    learner, rows = learner_of(), texts(3, 60, 90, 20)
    assert len(measure_adversarial(learner, rows, epsilon=0.5)) == 4
    assert measure_memory_mb(learner, rows)["memory_mb"] > measure_memory_mb(learner_of(None), rows)["memory_mb"]


def test_windows_without_a_step_are_refused(learner_of) -> None:
    with pytest.raises(ConfigError, match=r"model.windows.overlap 14: .* 16 holds 14 tokens .*: lower the overlap"):
        learner_of({"overlap": 14, "at_most": 2})
    learner = learner_of(None)
    settings = learner.settings.model_copy(update={"windows": learner_of().settings.windows, "max_length": 4})
    with pytest.raises(ConfigError, match=r"model.windows.overlap 4: a window of model.max_length 4 holds 2 tokens"):
        change_tuning(replace(learner, settings=settings), settings)
