from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from cl.backtesting.cost import count_passes
from cl.models import feature_cache
from cl.models import frozen_features as frozen_features_file
from cl.models.build import grow_labels, new_learner
from cl.models.closed_form_head import ClosedFormHead
from cl.models.feature_cache import cached_in, prune_cache, without_cache
from cl.models.frozen_features import frozen_features
from cl.models.inference import answer, predict


@pytest.fixture
def learner(tiny_config):
    return grow_labels(new_learner(tiny_config()), ["loan", "fee"], seed=0)


def seen(learner, head, rows, path) -> tuple[torch.Tensor, int, int]:
    """Return the features, how many rows went through the encoder, and how many the cache says it spared."""
    with cached_in(path) as cache, count_passes() as passes:
        whole = frozen_features(learner, head, rows).whole
    return whole, passes.forward, cache.saved_rows


def test_rows_that_were_seen_before_are_not_run_again(learner, sentences, tmp_path) -> None:
    head, path = ClosedFormHead(learner.width, 0, layers=2), tmp_path / "deep" / "features.sqlite"
    more = sentences(["loan", "fee"], 20)
    some = more.iloc[:10]
    alone = frozen_features(learner, head, more)
    assert seen(learner, head, some, path)[1:] == (10, 0)
    whole, ran, spared = seen(learner, head, more, path)
    assert ran + spared == 20 and 10 <= spared < 20
    assert torch.equal(whole, alone.whole) and torch.equal(seen(learner, head, more, path)[0], alone.whole)
    assert seen(learner, head, more, path)[1:] == (0, 20)


def test_each_run_pays_once_for_a_row_whoever_has_computed_it(learner, sentences, tmp_path) -> None:
    head, path = ClosedFormHead(learner.width, 0), tmp_path / "features.sqlite"
    rows = sentences(["loan", "fee"], 20)
    texts = rows["text"].nunique()

    def price(run: str, step: int) -> int:
        with cached_in(path, run=run, step=step) as cache, count_passes() as passes:
            for _ in range(2):
                frozen_features(learner, head, rows)
        return passes.forward + cache.saved_rows

    assert price("first", 0) == price("second", 0) == texts, "the second was spared the work and tells its price"
    assert price("second", 1) == 0, "what it has paid for it finds again"
    assert price("second", 0) == texts, "begun again, it pays again"


def change_in_place(encoder: torch.nn.Module) -> None:
    with torch.no_grad():
        next(encoder.parameters()).add_(1.0)


def take_a_step(encoder: torch.nn.Module) -> None:
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=0.1, fused=True)
    sum(parameter.square().sum() for parameter in encoder.parameters()).backward()
    optimiser.step()


def load_others(encoder: torch.nn.Module) -> None:
    encoder.load_state_dict({name: tensor + 1 for name, tensor in encoder.state_dict().items()})


def replace_one(encoder: torch.nn.Module) -> None:
    encoder.embeddings.word_embeddings.weight = torch.nn.Parameter(encoder.embeddings.word_embeddings.weight + 1)


@pytest.mark.parametrize("change", [change_in_place, take_a_step, load_others, replace_one])
def test_weights_are_hashed_once_and_again_whenever_they_have_changed(change, learner, tmp_path, monkeypatch) -> None:
    with cached_in(tmp_path / "features.sqlite") as cache:
        first = cache.prefix(learner.encoder, b"", layers=1, task="x")
        with monkeypatch.context() as patched:
            patched.setattr(torch.Tensor, "numpy", lambda self: pytest.fail("hashed again"))
            assert cache.prefix(learner.encoder, b"", layers=1, task="x") == first
            assert cache.prefix(learner.encoder, b"", layers=2, task="x") != first
        change(learner.encoder)
        assert cache.prefix(learner.encoder, b"", layers=1, task="x") != first


def test_another_encoder_or_other_layers_are_another_thing(learner, sentences, tmp_path) -> None:
    head, path, rows = ClosedFormHead(learner.width, 0), tmp_path / "features.sqlite", sentences(["loan"], 10)
    first = seen(learner, head, rows, path)[0]
    assert seen(learner, ClosedFormHead(learner.width, 0, layers=2), rows, path)[1] == 10
    with torch.no_grad():
        next(iter(learner.encoder.parameters())).normal_()
    again, ran, _ = seen(learner, head, rows, path)
    assert ran == 10 and not torch.equal(again, first)


@pytest.mark.parametrize("task", ["text_classification", "token_classification"])
def test_a_closed_head_answers_from_the_cache_what_it_answers_without(task, tiny_config, sentences, tmp_path) -> None:
    made, rows = new_learner(tiny_config(task=task)), sentences(["loan", "fee"], 20)
    if task == "token_classification":
        rows = rows.assign(
            tokens=rows["text"].str.split(), tags=rows["text"].str.split().map(lambda t: ["B-x"] * len(t))
        )
    labels = made.task.labels(rows)
    head = ClosedFormHead(made.width, len(labels), layers=2, expansion=32)
    head.solve(torch.randn(32, len(labels), generator=torch.Generator().manual_seed(0)) / 100, torch.zeros(len(labels)))
    learner = replace(made, labels=labels, head=head)
    wanted = answer(learner, rows)
    with cached_in(tmp_path / "features.sqlite"):
        answer(learner, rows)
        with count_passes() as passes:
            found = answer(learner, rows)
            frozen_features(learner, head, rows)
        assert passes.forward == 0
        with count_passes() as passes, without_cache():
            assert predict(learner, rows) == wanted.predictions
        assert passes.forward == len(rows)
    assert found.predictions == wanted.predictions and found.loss == wanted.loss
    assert np.array_equal(found.embeddings, wanted.embeddings)
    assert np.linalg.norm(found.embeddings, axis=1) == pytest.approx(1.0)


def test_a_file_that_has_grown_too_large_is_begun_anew(tmp_path, monkeypatch) -> None:
    path = tmp_path / "features.sqlite"
    with cached_in(path):
        pass
    prune_cache(path)
    assert path.exists()
    monkeypatch.setattr(feature_cache, "MAX_BYTES", 1)
    prune_cache(path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("tokens", [1, 40, 100_000])
def test_a_row_has_the_same_features_in_any_batch(learner, sentences, monkeypatch, tokens) -> None:
    """In bfloat16, where the processor has it, as in float32."""
    head, rows = ClosedFormHead(learner.width, 0, layers=2), sentences(["loan", "fee"], 90)
    whole = frozen_features(learner, head, rows).whole
    monkeypatch.setattr(frozen_features_file, "BATCH_TOKENS", tokens)
    monkeypatch.setattr(frozen_features_file, "BATCH_SIZE", max(1, min(64, tokens // 8)))
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    mixed = frozen_features(learner, head, rows.iloc[order.tolist()].reset_index(drop=True)).whole
    assert torch.equal(mixed, whole[order])


def test_rows_read_in_another_precision_are_not_those_in_the_cache(learner, sentences, tmp_path, monkeypatch) -> None:
    head, path, rows = ClosedFormHead(learner.width, 0, layers=2), tmp_path / "features.sqlite", sentences(["loan"], 10)
    for native in (True, False):
        monkeypatch.setattr(frozen_features_file, "native_bfloat16", lambda device, native=native: native)
        assert seen(learner, head, rows, path)[1] > 0


def test_features_of_encoders_that_were_trained_since_make_room(learner, sentences, tmp_path) -> None:
    head, path, rows = ClosedFormHead(learner.width, 0, layers=2), tmp_path / "features.sqlite", sentences(["loan"], 10)
    for _ in range(feature_cache.KEPT_ENCODERS + 1):
        assert seen(learner, head, rows, path)[1] > 0
        last = {name: tensor.clone() for name, tensor in learner.encoder.state_dict().items()}
        change_in_place(learner.encoder)
        prune_cache(path)
    with closing(sqlite3.connect(path)) as database:
        kept = {key[: feature_cache.PREFIX_BYTES] for (key,) in database.execute("SELECT key FROM features")}
        assert kept == {prefix for (prefix,) in database.execute("SELECT prefix FROM encoders")}
    assert len(kept) == feature_cache.KEPT_ENCODERS
    learner.encoder.load_state_dict(last)
    assert seen(learner, head, rows, path)[1] == 0, "the last one's are kept"
