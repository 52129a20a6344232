"""Rows that are longer than the model reads: what `cl ingest` and `cl run` say of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from cl.config import parse
from cl.ingestion.long_rows import long_rows
from cl.lifecycle import run_waiting
from cl.models.build import new_learner
from cl.models.inference import count_cut
from cl.plugins import build
from cl.reports.terminal.cycles import cycle_lines
from cl.stores.opened import open_project
from cl.tasks import Task
from tests.support.families import FAMILIES
from tests.support.tiny import QUICK, made_sentences, tiny_project

SAID = "are longer than the 16 tokens that the model reads"


def mixed(count: int, long: int, words: int = 40) -> pd.DataFrame:
    rows = made_sentences(["loan", "fee"], count, seed=1)
    rows.loc[: long - 1, "text"] = [f"{text} " + "card " * words for text in rows["text"][:long]]
    return rows


def ingest(project, rows: pd.DataFrame) -> str:
    """Run `cl ingest` on rows and return what it says."""
    path = project.root / "inbox" / "rows.csv"
    rows.to_csv(path, index=False)
    command = [sys.executable, "-m", "cl.cli", "ingest", str(path), "-p", str(project.root)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


@pytest.fixture
def project_of(tmp_path, tiny_model):
    def make(**model):
        settings = {"name": str(tiny_model), "dropout": 0.0, "max_length": 16, **model}
        return tiny_project(tmp_path / "shop", tiny_model, model=settings, training=QUICK, strategy="naive")

    return make


def test_ingest_and_run_say_how_many_rows_are_cut_and_where(project_of) -> None:
    project = project_of()
    assert f"12 of 60 rows {SAID}, and are cut there: raise model.max_length" in ingest(project, mixed(60, 12))
    assert "longer than" not in ingest(project, mixed(60, 12)), "nothing is new"
    cycles = run_waiting(project)
    (training,) = [cycle.training for cycle in cycles]
    train = open_project(project.root).stores.experiences.rows_of(training.experiences, "train")
    expected = int((train["text"].str.split().str.len() > 14).sum())
    assert (training.rows_cut, training.most_tokens) == (expected, 16) and expected > 0
    said = f"{expected} of {training.rows_new} new rows {SAID}, and were cut there"
    assert any(said in line for line in cycle_lines(cycles))


@pytest.mark.parametrize("model", [{"max_length": 64}, {"windows": {"overlap": 4, "at_most": 8}}])
def test_nothing_is_said_of_rows_that_are_read_whole(model, project_of) -> None:
    project = project_of(**model)
    assert "longer than" not in ingest(project, mixed(60, 6))
    cycles = run_waiting(project)
    assert cycles[0].training.rows_cut == 0
    assert not any("longer than" in line for line in cycle_lines(cycles))


def test_windows_that_are_too_few_cut_too(project_of) -> None:
    project = project_of(windows={"overlap": 4, "at_most": 2})
    assert "12 of 60 rows are longer than the 26 tokens" in ingest(project, mixed(60, 12))


@pytest.mark.parametrize("task", ["text_classification", "token_classification"])
@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "t5"])
def test_both_count_the_same_rows(family, task, tmp_path) -> None:
    model = {"name": str(FAMILIES[family].save(tmp_path / "model", pad=False)), "max_length": 20}
    config = parse({"task": task, "model": model}, where="test")
    rows = pd.DataFrame({"text": ["card lost " * words for words in range(1, 14)]})
    rows["id"] = [str(number) for number in range(len(rows))]
    if task == "token_classification":
        rows = pd.DataFrame({"id": rows["id"], "tokens": rows["text"].str.split()})
        rows["tags"] = rows["tokens"].map(lambda words: ["O"] * len(words))
    counter = long_rows(config, build(Task, task))
    assert counter is not None
    counter.add(rows)
    found = count_cut(new_learner(config), rows)
    assert 0 < found < len(rows)
    # words for tags get their spaces when the model is loaded, which can only join pieces
    assert counter.cut == found if task == "text_classification" else counter.cut >= found


@pytest.mark.parametrize("damage", ["missing", "broken"])
def test_without_a_tokenizer_at_hand_ingest_says_nothing(damage, tiny_model, tmp_path, project_of) -> None:
    other = shutil.copytree(tiny_model, tmp_path / "model")
    (other / "tokenizer.json").unlink()
    if damage == "broken":
        (other / "tokenizer.json").write_text("{")
    project = project_of(name=str(other))
    assert "longer than" not in ingest(project, mixed(60, 6))


@pytest.mark.parametrize("name", ["nobody/has-this-model", "no such name!", "minilm"])
def test_a_model_that_is_elsewhere_is_not_fetched(name) -> None:
    config = parse({"model": {"name": name}}, where="test")
    counter = long_rows(config, build(Task, "text_classification"))
    assert counter is None or name == "minilm"


def test_counting_imports_neither_torch_nor_transformers(tiny_model) -> None:
    code = (
        "import sys, json; from cl.config import parse; from cl.ingestion.long_rows import long_rows;"
        "from cl.plugins import build; from cl.tasks import Task;"
        f"config = parse({{'model': {{'name': {str(tiny_model)!r}}}}}, where='t');"
        "assert long_rows(config, build(Task, 'text_classification'));"
        "print(json.dumps([name for name in ('torch', 'transformers') if name in sys.modules]))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == []
