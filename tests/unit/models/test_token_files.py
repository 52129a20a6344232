"""Tokens of language models' rows on disk: the same as those that are made, once, whatever becomes of the files."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import cl.models.token_files
from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.models.feature_cache import TOKENS, cached_in, prune_cache, without_cache
from cl.models.language_learner import LanguageLearner
from cl.models.token_files import TokenFiles
from cl.training.loop import run_update
from cl.training.strategies import State, TrainingData, Update
from cl.training.strategies.replay import Replay
from tests.support.task_rows import config_of, made_rows, task_of

TASKS = ["text_generation", "dialogue", "language_modelling"]


def learner_of(model: Path, task: str, /, **changes: object) -> LanguageLearner:
    torch.manual_seed(0)
    made = grow_labels(new_learner(config_of(model, task, **changes)), ["text"], seed=0)
    assert isinstance(made, LanguageLearner)
    return made


@pytest.fixture
def made(monkeypatch) -> list[int]:
    """How many rows were tokenised, call by call."""
    counts = list[int]()
    for kind in {type(task_of(name)) for name in TASKS}:

        def counted(self, rows, *args, _own=kind.encode, **how):
            counts.append(len(rows))
            return _own(self, rows, *args, **how)

        monkeypatch.setattr(kind, "encode", counted)
    return counts


@pytest.mark.parametrize("task", TASKS)
def test_rows_are_tokenised_once_and_are_the_same_from_the_files(task, tiny_model, tmp_path, made) -> None:
    learner, rows = learner_of(tiny_model, task), made_rows(task_of(task), ["loan", "fee"], 20)
    wanted, asked = learner.encode(rows), learner.encode(rows[task_of(task).schema.input_names])
    path = tmp_path / "features.sqlite"
    with cached_in(path) as cache:
        made.clear()
        assert learner.encode(rows.iloc[:8]) == wanted[:8] and made == [8] and not cache.token_files.saved_seconds
        assert learner.encode(rows) == wanted and made == [8, 12] and cache.token_files.saved_seconds > 0
        mixed = rows.iloc[[3, 19, 3, 0]]
        assert learner.encode(mixed) == [wanted[3], wanted[19], wanted[3], wanted[0]] and made == [8, 12]
        assert learner.encode(rows.iloc[:0]) == []
        assert learner.encode(rows[task_of(task).schema.input_names]) == asked, "without an answer, a row is another"
        with without_cache():
            assert learner.encode(rows) == wanted and made[-1] == 20
    made.clear()
    with cached_in(path):
        assert learner_of(tiny_model, task).encode(rows) == wanted and not made, "another process finds them as well"


def test_what_decides_the_tokens_besides_the_row_makes_them_again(tiny_model, tmp_path, made) -> None:
    rows = made_rows(task_of("text_generation"), ["loan"], 4)
    learner = learner_of(tiny_model, "text_generation")
    others = {
        "length": learner_of(tiny_model, "text_generation", model={"max_length": 8}),
        "instruction": dataclasses.replace(learner, task=learner.task.model_copy(update={"instruction": "help"})),
        "template": dataclasses.replace(learner, tokenizer=_with_template(learner)),
    }
    with cached_in(tmp_path / "features.sqlite"):
        learner.encode(rows)
        for name, other in others.items():
            own = other.encode(rows)
            assert made[-1] == 4, name
            with without_cache():
                assert other.encode(rows) == own
        made.clear()
        changed = rows.assign(completion=["the fee", *rows["completion"][1:]])
        learner.encode(changed)
        assert made == [1], "a corrected row is another row"


def _with_template(learner: LanguageLearner):
    import copy

    tokenizer = copy.deepcopy(learner.tokenizer)
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }} {% endfor %}"
    return tokenizer


def trained(model: Path, task: str) -> list[torch.Tensor]:
    """The weights after an update with replay."""
    learner = learner_of(model, task)
    freeze_all_but_tuned(learner)
    rows, past = (made_rows(task_of(task), ["loan"], 16, seed=seed, prefix=f"x{seed}") for seed in (0, 1))
    lesson = TrainingData(rows, past=lambda: past, rng=np.random.default_rng(0), validation=past.iloc[:4], known=1)
    settings = config_of(model, task, training={"epochs": 2, "batch_size": 4, "precision": "float32"}).training
    strategies = [(Replay(ratio=0.5, general=0.2), Update(State(rows=past), lesson, learner))]
    run_update(learner, lesson, strategies, settings)
    return [parameter.detach().clone() for _, parameter in learner.parameters()]


@pytest.mark.parametrize("task", TASKS)
def test_an_update_ends_in_the_same_weights_with_and_without_files(task, tiny_model, tmp_path) -> None:
    without = trained(tiny_model, task)
    for _ in range(2):  # the files are made, and are there
        with cached_in(tmp_path / "features.sqlite"):
            own = trained(tiny_model, task)
        assert all(torch.equal(one, other) for one, other in zip(without, own, strict=True))


def test_many_files_are_joined_and_lose_no_row(tiny_model, tmp_path, made, monkeypatch) -> None:
    monkeypatch.setattr(cl.models.token_files, "MOST_FILES", 3)
    learner, rows = learner_of(tiny_model, "dialogue"), made_rows(task_of("dialogue"), ["loan", "fee"], 30)
    wanted = learner.encode(rows)
    with cached_in(tmp_path / "features.sqlite"):
        for row in range(30):
            learner.encode(rows.iloc[row : row + 1])
        assert len(list((tmp_path / TOKENS).rglob("*.npy"))) <= 3
        made.clear()
        assert learner.encode(rows) == wanted and not made


@pytest.mark.parametrize("damage", ["cut", "emptied", "removed", "no numbers"])
def test_a_damaged_file_is_made_again(damage, tiny_model, tmp_path, made) -> None:
    learner, rows = learner_of(tiny_model, "text_generation"), made_rows(task_of("text_generation"), ["loan"], 6)
    wanted, path = learner.encode(rows), tmp_path / "features.sqlite"
    with cached_in(path):
        learner.encode(rows)
    (file,) = (tmp_path / TOKENS).rglob("*.npy")
    content = file.read_bytes()
    if damage == "removed":
        file.unlink()
    else:
        file.write_bytes({"cut": content[:-8], "emptied": b"", "no numbers": b"x" * len(content)}[damage])
    made.clear()
    with cached_in(path):
        assert learner.encode(rows) == wanted and made == [6]
    made.clear()
    with cached_in(path):
        assert learner.encode(rows) == wanted and not made


KILLED = """
import os, sys, numpy as np
from pathlib import Path
from cl.models import token_files
from cl.tasks import Encoded
from cl.tasks._language_task import Written
import pandas as pd
def save(file, flat):
    file.write(b"half"); file.flush(); os.kill(os.getpid(), 9)
token_files.np.save = save
made = lambda rows: [Encoded([1], [2], [0], Written([1], [0])) for _ in range(len(rows))]
token_files.TokenFiles(Path(sys.argv[1])).encode(b"setup", pd.DataFrame({"text": ["a"]}), ["text"], made)
"""


def test_a_killed_process_leaves_no_file_that_is_read_and_its_draft_is_removed(tmp_path, made) -> None:
    folder = tmp_path / TOKENS
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)
    assert done.returncode == -9 and [path.suffix for path in folder.rglob("*") if path.is_file()] == [".draft"]
    prune_cache(tmp_path / "features.sqlite")
    assert not [path for path in folder.rglob("*") if path.is_file()]


def test_a_folder_that_is_too_large_is_emptied(tiny_model, tmp_path, monkeypatch) -> None:
    learner, rows = learner_of(tiny_model, "dialogue"), made_rows(task_of("dialogue"), ["loan"], 6)
    path = tmp_path / "features.sqlite"
    with cached_in(path):
        learner.encode(rows)
    prune_cache(path)
    assert list((tmp_path / TOKENS).rglob("*.npy"))
    monkeypatch.setattr(cl.models.token_files, "MAX_BYTES", 10)
    prune_cache(path)
    assert not list((tmp_path / TOKENS).rglob("*.npy"))


def test_rows_that_say_the_same_are_made_once(tmp_path) -> None:
    from cl.tasks import Encoded
    from cl.tasks._language_task import Written

    calls = list[int]()

    def make(rows: pd.DataFrame) -> list[Encoded]:
        calls.append(len(rows))
        return [Encoded([len(text)], [1], [0], Written([1], [0])) for text in rows["text"]]

    rows = pd.DataFrame({"text": ["a", "bb", "a", "a"]})
    encoded = TokenFiles(tmp_path).encode(b"setup", rows, ["text"], make)
    assert [row.input_ids for row in encoded] == [[1], [2], [1], [1]] and calls == [2]
