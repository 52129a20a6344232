from __future__ import annotations

import json
import logging

import pandas as pd
import pytest
import torch

from cl.config import parse
from cl.errors import ConfigError
from cl.models.build import grow_labels, new_learner
from cl.tasks import Prediction
from cl.training import own_words
from cl.training.own_words import rewrite_targets
from cl.training.strategies import load_states
from cl.training.strategies.replay import Replay
from cl.training.train import train
from tests.support.task_rows import config_of, made_rows, rows_of, task_of

OWN = {"name": "replay", "targets": "own", "likeness": 0.5}


@pytest.fixture
def learner_of(tiny_model):
    def make(task: str = "text_generation", **fields):
        config = config_of(tiny_model, task, model={"max_length": 128})
        raw = config.model_dump(mode="json", by_alias=True)
        raw["task"] = {"name": task, **fields}
        torch.manual_seed(0)
        return grow_labels(new_learner(parse(raw, where="test")), ["text"], seed=1)

    return make


@pytest.fixture
def written(monkeypatch):
    """What a model is made to write, by the words of the prompt that only one row has; and all prompts that it read."""
    read, says = [], {}

    def write(learner, encoded):
        prompts = [learner.tokenizer.decode(row.context.prompt) for row in encoded]
        read.extend(prompts)
        return [next((says[key] for key in says if key in prompt), Prediction("", 1.0)) for prompt in prompts]

    monkeypatch.setattr("cl.models.generation.write", write)
    return says, read


def rows() -> pd.DataFrame:
    asked = ["where is my card", "please help anna", "the old box", "pay the bank", "send it to paris"]
    answers = ["my card is lost", "ben works in york", "the box is broken", "money", "tuesday"]
    return pd.DataFrame({"id": list("abcde"), "prompt": asked, "completion": answers})


def test_own_words_are_taken_where_they_are_like_the_true_ones(learner_of, written, tmp_path, caplog) -> None:
    says, _ = written
    says |= {
        "my card": Prediction("my card is stolen", 0.5),
        "anna": Prediction("my card is lost", 0.5),
        "old box": Prediction("the box is broken", 0.5, cut=True),
    }
    with caplog.at_level(logging.INFO, logger="cl.training.own_words"):
        own = rewrite_targets(learner_of(metric="f1"), rows(), least=0.7, kept=tmp_path / "kept.json")
    expected = ["my card is stolen", *rows()["completion"].iloc[1:]]
    assert own["completion"].tolist() == expected and own["id"].tolist() == list("abcde")
    assert "1 of 5 new targets" in caplog.text
    below = rewrite_targets(learner_of(metric="f1"), rows(), least=0.8, kept=tmp_path / "other.json")
    assert below["completion"].tolist() == rows()["completion"].tolist()  # F1 of three words in four: 0.75
    every = rewrite_targets(learner_of(metric="f1"), rows(), least=0.0, kept=tmp_path / "third.json")
    assert every["completion"].tolist() == ["my card is stolen", "my card is lost", *expected[2:]]


def test_the_model_reads_the_prompt_and_the_true_answer(learner_of, written, tmp_path) -> None:
    _, read = written
    rewrite_targets(learner_of(), rows(), least=0.5, kept=tmp_path / "kept.json")
    assert len(read) == 5
    assert "where is my card" in read[0] and read[0].index("where is my card") < read[0].index("my card is lost")


def test_of_a_conversation_the_last_turn_is_asked_with_a_reference(learner_of, written, tmp_path) -> None:
    says, read = written
    says["card"] = Prediction("my card is lost", 0.5)
    talk = [{"role": "user", "content": "help"}, {"role": "assistant", "content": "please"}]
    talk.append({"role": "user", "content": "where is my card"})
    table = pd.DataFrame({"id": ["a"], "messages": [talk], "completion": ["my card is lost"]})
    own = rewrite_targets(learner_of("dialogue"), table, least=0.5, kept=tmp_path / "kept.json")
    (prompt,) = read
    assert prompt.index("help") < prompt.index("where is my card") < prompt.index("my card is lost")
    assert own["messages"].tolist() == [talk], "what is learned is the conversation as it was"


def test_prompts_that_do_not_fit_with_their_reference_keep_their_targets(learner_of, written, tmp_path) -> None:
    says, read = written
    says["card"] = Prediction("my card is lost", 0.5)
    long = pd.DataFrame(
        {"id": ["a", "b"], "prompt": ["card " * 200, "my card"], "completion": ["my card is lost", "my card is lost"]}
    )
    rewrite_targets(learner_of(), long, least=0.5, kept=tmp_path / "kept.json")
    assert len(read) == 1 and "my card" in read[0]


def test_where_likelihood_is_the_metric_chrf_decides(learner_of, written, tmp_path) -> None:
    says, _ = written
    says |= {"my card": Prediction("my card is lost", 0.5), "anna": Prediction("box", 0.5)}
    own = rewrite_targets(learner_of(metric="nll"), rows(), least=0.9, kept=tmp_path / "kept.json")
    assert own["completion"].tolist() == rows()["completion"].tolist()
    own = rewrite_targets(learner_of(metric="nll"), rows(), least=0.0, kept=tmp_path / "kept.json")
    assert own["completion"].tolist()[1] == "box"


def test_killed_while_it_writes_it_goes_on_with_what_is_left(learner_of, tmp_path, monkeypatch) -> None:
    """Stored after every two rows; the second run writes the last three."""
    learner, kept, calls = learner_of(max_new_tokens=4), tmp_path / "folder" / "kept.json", []
    monkeypatch.setattr(own_words, "AT_ONCE", 2)

    def write(learner, encoded):
        calls.append(len(encoded))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return [Prediction("my card is lost", 0.5)] * len(encoded)

    monkeypatch.setattr("cl.models.generation.write", write)
    with pytest.raises(KeyboardInterrupt):
        rewrite_targets(learner, rows(), least=0.0, kept=kept)
    assert len(json.loads(kept.read_text())) == 2
    own = rewrite_targets(learner, rows(), least=0.0, kept=kept)
    assert calls == [2, 2, 2, 1] and set(own["completion"]) == {"my card is lost"}
    again = rewrite_targets(learner, rows(), least=0.0, kept=kept)
    assert again.equals(own) and len(calls) == 4
    changed = rewrite_targets(learner, rows().replace("money", "the money"), least=0.0, kept=kept)
    assert calls[4:] == [1] and len(changed) == 5, "another reference is written for again"


def test_the_update_and_its_buffer_learn_own_words_and_a_resumed_run_writes_none_again(
    tiny_model, tmp_path, written, monkeypatch
) -> None:
    says, read = written
    read_rows, task = rows_of(task_of("text_generation")), task_of("text_generation")
    config = config_of(tiny_model, "text_generation", strategy=OWN | {"likeness": 0.0}, model={"max_length": 128})
    says[""] = Prediction("box", 0.5)
    common = {"champion": None, "new": ["one"], "past": [], "rows_of": read_rows}

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cl.training.train.run_update", killed)
        with pytest.raises(KeyboardInterrupt):
            train(config, **common, folder=tmp_path / "v")
    assert len(read) == 24 and (tmp_path / "v.own-words.json").exists()
    result = train(config, **common, folder=tmp_path / "v")
    assert len(read) == 24 and result.rows_new == 24
    assert not (tmp_path / "v.own-words.json").exists()
    buffer = load_states(tmp_path / "v")["replay"].rows
    assert set(buffer["completion"]) == {"box"} and set(buffer["id"]) <= set(read_rows(["one"], "train")["id"])
    assert not made_rows(task, ["loan"], 3)["completion"].eq("box").any()


def test_own_words_that_are_as_given_change_nothing(tiny_model, tmp_path) -> None:
    """A threshold that no answer of a random model reaches: the version is that without."""
    read_rows, results = rows_of(task_of("text_generation")), []
    for name, strategy in (("given", "replay"), ("own", OWN | {"likeness": 1.0})):
        config = config_of(tiny_model, "text_generation", strategy=strategy, model={"max_length": 128})
        train(config, champion=None, new=["one"], past=[], rows_of=read_rows, folder=tmp_path / name)
        results.append((tmp_path / name / "encoder" / "model.safetensors").read_bytes())
    assert results[0] == results[1]


def test_a_task_that_writes_no_answer_is_refused() -> None:
    why = "strategy: replay: targets: own: task 'text_classification' has no answers that a model writes"
    with pytest.raises(ConfigError, match=why):
        parse({"strategy": OWN}, where="test")
    assert Replay(targets="given").objection(parse({"strategy": "replay"}, where="test")) is None
