"""Texts that are learned as a whole: blocks, the likelihood of a byte, and what cannot work."""

from __future__ import annotations

from math import log
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cl.config import Config, parse
from cl.errors import ConfigError, SourceError
from cl.evaluation.likelihood import measure_likelihood
from cl.ingestion.check_rows import check_rows
from cl.models.batching import collate
from cl.models.blocks import cut_into_blocks, in_blocks
from cl.models.build import grow_labels, new_learner
from cl.models.generation import read_answers
from cl.models.inference import answer, count_cut
from cl.models.language_learner import LanguageLearner
from cl.tasks.language_modelling import LanguageModelling
from cl.testing import tiny_tokenizer
from cl.training.strategies import State, Step, TrainingData, Update
from cl.training.strategies.kl import KL
from tests.support.tiny import WORDS, made_tiny_writer

ROWS = pd.DataFrame(
    {
        "id": ["short", "long", "umlauts"],
        "text": ["my card is lost", " ".join(WORDS[:30]), "the übergrößen fee"],
    }
)


@pytest.fixture(scope="module")
def writer(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_tiny_writer(tmp_path_factory.mktemp("writer") / "model", tiny_model)


def config_of(model: Path | str, **changes: object) -> Config:
    raw = {
        "task": "language_modelling",
        "model": {"name": str(model), "max_length": 8, "dropout": 0.0},
        "training": {"precision": "float32"},
        **changes,
    }
    return parse(raw, where="test")


@pytest.fixture
def learner(writer: Path) -> LanguageLearner:
    made = grow_labels(new_learner(config_of(writer)), ["text"], seed=0)
    assert isinstance(made, LanguageLearner)
    made.eval_mode()
    return made


def nats_by_hand(learner: LanguageLearner, text: str, size: int) -> float:
    """The sum of the losses of all tokens of a text and of its end, block by block, by transformers alone."""
    tokenizer = learner.tokenizer
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    end = tokenizer.eos_token_id  # it begins texts as well, where no other token does
    read, learned = [end, *ids], [*ids, end]
    total = 0.0
    for start in range(0, len(learned), size):
        with torch.no_grad():
            logits = learner.encoder(input_ids=torch.tensor([read[start : start + size]]), use_cache=False).logits[0]
        wanted = torch.tensor(learned[start : start + size])
        total += float(torch.nn.functional.cross_entropy(logits, wanted, reduction="sum"))
    return total


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 50])
def test_every_token_and_the_end_are_learned_once_whatever_the_length_of_blocks(length) -> None:
    tokenizer = tiny_tokenizer()
    (row,) = LanguageModelling().encode(pd.DataFrame({"text": ["abcd"]}), tokenizer, ["text"], max_length=length)
    blocks, of = cut_into_blocks([row], length)
    end = tokenizer.eos_token_id
    assert [id for block in blocks for id in block.targets] == [4, 5, 6, 7, end]
    assert [id for block in blocks for id in block.input_ids] == [end, 4, 5, 6, 7], "each is read after the one before"
    assert max(len(block.input_ids) for block in blocks) <= length and set(of) == {0}
    assert [block.context.start for block in blocks] == list(range(0, 5, length))


def test_the_score_of_a_text_is_the_likelihood_of_a_byte_over_all_its_blocks(learner) -> None:
    answers = answer(learner, ROWS)
    nats = np.array([nats_by_hand(learner, text, 8) for text in ROWS["text"]])
    sizes = np.array([len(text.encode()) for text in ROWS["text"]])
    assert sizes[2] > len(ROWS["text"][2]), "bytes, not letters"
    scores = learner.task.row_scores(ROWS, answers.values)
    assert scores == pytest.approx(np.exp(-nats / sizes), rel=1e-5)
    assert [float(value) for value in answers.values] == pytest.approx(nats / sizes / log(2), abs=1e-4)
    assert [prediction.confidence for prediction in answers.predictions] == pytest.approx(scores)
    assert learner.task.score(ROWS, answers.values) == {"likelihood": pytest.approx(scores.mean())}
    measured = measure_likelihood(learner, ROWS)
    assert measured["bits_per_byte"] == pytest.approx(nats.sum() / sizes.sum() / log(2), rel=1e-5)
    tokens = sum(len(row.targets) for row in learner.encode(ROWS))
    assert measured["nll"] == pytest.approx(nats.sum() / tokens, rel=1e-5)


def test_a_text_in_one_batch_has_the_logits_of_its_blocks(learner) -> None:
    """Whoever does not cut texts, such as a Fisher information row by row, reads them in blocks all the same."""
    encoded = learner.encode(ROWS)
    (batch,) = learner.batches(encoded, None)
    (together,) = learner.forward(batch)
    for position, row in enumerate(batch.rows):
        blocks, _ = cut_into_blocks([encoded[row]], 8)
        for block in blocks:
            (alone,) = learner.batches([block], None)
            (own,) = learner.forward(alone)
            start = block.context.start
            torch.testing.assert_close(together[position, start : start + own.shape[1]], own[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("packed", [False, True])
def test_blocks_have_the_loss_and_gradients_of_their_texts(learner, packed) -> None:
    encoded = learner.encode(ROWS)
    rows, blocks = in_blocks(learner, ROWS, encoded)
    assert rows["id"].tolist() == ["short", *["long"] * 4, *["umlauts"] * (len(rows) - 5)]
    (batch,) = learner.batches(blocks, None)
    (logits,) = learner.forward(batch, packed=packed)
    loss = learner.task.loss(logits, batch.targets, summed=True)
    assert float(loss.detach()) == pytest.approx(sum(nats_by_hand(learner, text, 8) for text in ROWS["text"]), rel=1e-5)


def test_nothing_of_a_long_text_is_cut(learner) -> None:
    assert count_cut(learner, ROWS) == 0


def test_a_model_that_is_still_the_champion_pays_no_divergence_on_any_block_and_one_that_moved_pays(learner) -> None:
    lesson = TrainingData(rows=ROWS, past=pd.DataFrame, rng=np.random.default_rng(0), known=1)
    update, strategy = Update(State(), lesson, learner), KL(tokens=5)
    strategy.begin(update)
    rows, blocks = in_blocks(learner, ROWS, learner.encode(ROWS))

    def penalty() -> float:
        batch = collate(learner.task, blocks, list(range(len(blocks))), learner.tokenizer.pad_token_id, learner.device)
        step = Step(rows["id"].tolist(), batch, learner.logits(batch))
        return float(strategy.penalty(update, step).detach())

    assert penalty() == pytest.approx(0.0, abs=1e-5)
    with torch.no_grad():
        for _, parameter in learner.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    assert penalty() > 1e-3


def test_a_text_of_no_token_and_one_without_an_end_have_a_finite_loss(learner) -> None:
    blank = pd.DataFrame({"text": ["\u200b", "my card"]})
    read = read_answers(learner, learner.encode(blank))
    assert np.isfinite(read.losses).all() and (read.losses > 0).all()
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = None
    encoded = LanguageModelling().encode(pd.DataFrame({"text": ["ab", ""]}), tokenizer, ["text"], max_length=8)
    assert [row.targets for row in encoded] == [[4, 5], []] and all(row.input_ids for row in encoded)


def test_what_is_continued_keeps_its_end_and_room_for_what_follows() -> None:
    task, tokenizer = LanguageModelling(max_new_tokens=6), tiny_tokenizer()
    texts = pd.DataFrame({"text": ["ab", "abcdefghijkl"]})
    short, long = task.encode(texts, tokenizer, ["text"], max_length=8)
    assert tokenizer.decode(short.context.prompt) == "</s>ab" and tokenizer.decode(long.context.prompt) == "ijkl"


def test_its_defaults_warm_the_rate_up_again_and_replay_a_twentieth() -> None:
    config = parse({"task": "language_modelling"}, where="test")
    assert config.strategy == {"name": "replay", "ratio": 0.05}
    assert config.training.schedule == "warmup_stable_decay" and config.ladder == []
    assert "answer_faults" not in [gate if isinstance(gate, str) else gate["name"] for gate in config.gates]
    named = parse({"task": "language_modelling", "strategy": {"name": "replay", "rows": 9}}, where="test")
    assert named.built_strategies[0].ratio == 0.05 and named.built_strategies[0].rows == 9
    assert parse({"task": "language_modelling", "strategy": "ewc"}, where="test").strategy == "ewc"
    assert parse({"task": "text_generation", "strategy": "replay"}, where="test").built_strategies[0].ratio == 3.0


@pytest.mark.parametrize("setting", [{"metric": "chrf"}, {"template": "chat"}, {"instruction": "Be brief."}])
def test_settings_of_answers_are_refused_in_one_line(setting) -> None:
    with pytest.raises(ConfigError) as refused:
        parse({"task": {"name": "language_modelling", **setting}}, where="test")
    (line,) = str(refused.value).splitlines()
    assert f"has no {next(iter(setting))}" in line and "choose text_generation or dialogue" in line


def test_a_model_with_a_decoder_of_its_own_is_refused_in_one_line(tiny_model, tmp_path) -> None:
    model = made_tiny_writer(tmp_path / "t5", tiny_model, kind="t5")
    with pytest.raises(ConfigError, match="has a decoder of its own, which task 'language_modelling'") as refused:
        new_learner(config_of(model))
    assert "\n" not in str(refused.value)


def test_conversations_are_no_texts() -> None:
    with pytest.raises(ConfigError, match="task 'language_modelling' has no column 'messages'"):
        config_of("x", data={"columns": {"messages": "talk"}})
    rows = pd.DataFrame({"id": ["1"], "messages": [[{"role": "user", "content": "hi"}]]})
    with pytest.raises(SourceError, match=r"no column 'text'; there are: id, messages; set data\.text"):
        check_rows(rows, config_of("x"), LanguageModelling())


def test_rows_are_texts_and_nothing_else() -> None:
    rows = pd.DataFrame({"id": ["1", "2"], "text": ["a harbour in winter", " "]})
    checked = check_rows(rows, config_of("x"), LanguageModelling())
    assert checked.good["text"].tolist() == ["a harbour in winter"]
    assert checked.bad["reason"].tolist() == ["missing text"]
