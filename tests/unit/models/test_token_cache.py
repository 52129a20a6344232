from __future__ import annotations

import sqlite3

import pytest

from cl.models.build import grow_labels, new_learner
from cl.models.feature_cache import cached_in, without_cache
from cl.models.pretrained import load_tokenizer
from cl.models.token_cache import tokenizer_digest


def known(path) -> int:
    return sqlite3.connect(path).execute("SELECT count(*) FROM tokens").fetchone()[0]


@pytest.mark.parametrize("task", ["text_classification", "token_classification"])
def test_what_is_looked_up_is_what_the_tokenizer_says(task, tiny_config, sentences, tmp_path) -> None:
    rows, path = sentences(["loan", "fee"], 700), tmp_path / "features.sqlite"
    words = set()
    if task == "token_classification":
        split = rows["text"].str.split()
        words = set(split.explode())  # each is read alone as well: whether the tokenizer leaves anything of it
        rows = rows.assign(tokens=split, tags=split.map(lambda words: ["B-x", *["O"] * (len(words) - 1)]))
    made = new_learner(tiny_config(task=task))
    learner = grow_labels(made, made.task.labels(rows), seed=0)
    wanted = learner.encode(rows)
    with cached_in(path) as cache:
        assert learner.encode(rows.iloc[:100]) == wanted[:100] and cache.tokens.saved_seconds == 0.0
        assert learner.encode(rows) == wanted and cache.tokens.saved_seconds > 0.0
        assert learner.encode(rows.iloc[:0]) == []
        before = cache.tokens.saved_seconds
        with without_cache():
            assert learner.encode(rows) == wanted
        assert cache.tokens.saved_seconds == before
    assert known(path) == rows["text"].nunique() + len(words)
    with cached_in(path) as cache:
        again = new_learner(tiny_config(task=task))  # another tokenizer that says the same
        assert [one.input_ids for one in again.encode(rows)] == [one.input_ids for one in wanted]
        assert cache.tokens.saved_seconds > 0.0
    assert known(path) == rows["text"].nunique() + len(words)


def test_another_length_is_tokenised_anew(tiny_config, tiny_model, sentences, tmp_path) -> None:
    rows = sentences(["loan"], 10)
    with cached_in(tmp_path / "features.sqlite"):
        for length in (64, 4):
            learner = new_learner(tiny_config(model={"name": str(tiny_model), "max_length": length}))
            assert (max(len(one.input_ids) for one in learner.encode(rows)) == 4) == (length == 4)


def test_a_tokenizer_is_known_by_what_it_says_and_not_by_how_it_was_called_last(tiny_model) -> None:
    one, other, more = (load_tokenizer(str(tiny_model)) for _ in range(3))
    one("my card", truncation=True, max_length=4)
    more.add_tokens(["overdraft"])
    assert tokenizer_digest(one) == tokenizer_digest(other) != tokenizer_digest(more)
