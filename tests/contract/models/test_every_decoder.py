"""What holds for a decoder of any family, through Perennial's own code: a model whose tokens see only those before."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import torch

from cl.compression.prune_vocabulary import tokens_to_keep
from cl.compression.rewrite import to_onnx
from cl.errors import ConfigError
from cl.models.build import change_tuning, freeze_all_but_tuned, new_learner
from cl.models.inference import answer
from cl.models.kernels import CpuKernels
from cl.models.persistence import load_learner, save_learner
from cl.models.pooling import DECODER, Reading
from cl.models.rewrites import dequantise_learner, quantise_learner
from cl.serving.served_model import load_served_model
from cl.training.strategies._per_example_gradients import _TrainableLayers, add_square, mean_over_rows
from cl.training.train import train
from tests.support.families import DECODER as GROUPED
from tests.support.families import FAMILIES, Family, texts
from tests.support.tiny import made_sentences

DECODERS = [name for name, family in FAMILIES.items() if family.causal]
QUICK = ("gpt2", "llama", "qwen2")
ALL = [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.nightly]) for name in DECODERS]
TASKS = ["text_classification", "token_classification"]
DTYPES = ["float32", "bfloat16"]

pytestmark = pytest.mark.filterwarnings("ignore")


def tagged(rows: int) -> pd.DataFrame:
    """Sentences in which anna is a person, york a place, and lamps, two pieces, are things."""
    words = [["anna", "lives", "in", "york"], ["the", "lamps", "is", "old"], ["ben", "goes", "to", "york"]]
    tags = [["B-PER", "O", "O", "B-LOC"], ["O", "B-OBJ", "O", "O"], ["B-PER", "O", "O", "B-LOC"]]
    chosen = [index % 3 for index in range(rows)]
    frame = {"id": [f"t{index}" for index in range(rows)], "tokens": [words[index] for index in chosen]}
    return pd.DataFrame({**frame, "tags": [tags[index] for index in chosen], "date": None})


def rows_for(task: str, rows: int) -> pd.DataFrame:
    return made_sentences(["loan", "fee"], rows) if task == TASKS[0] else tagged(rows)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tuning", ["full", "lora"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("family", ALL)
def test_it_learns_and_answers_the_same_to_the_bit_stored_loaded_and_served(
    family, task, tuning, dtype, tiny_config, folder, tmp_path
) -> None:
    name, rows = str(FAMILIES[family].save(folder, pad=False)), rows_for(task, 48)
    config = tiny_config(
        task=task,
        model={"name": name, "tuning": tuning, "dropout": 0.0, "max_length": 16, "dtype": dtype},
        training={
            "epochs": 12,
            "batch_size": 8,
            "learning_rate": 3e-3,
            "head_learning_rate": 1e-2,
            "precision": "float32",
            "patience": 12,
        },
        strategy="naive",
    )
    held_out = {"train": rows, "validation": rows.iloc[:9]}
    version, copied = tmp_path / "1", tmp_path / "2"
    record = train(config, champion=None, new=["a"], past=[], rows_of=lambda _, split: held_out[split], folder=version)
    assert record.validation_score > 0.85, "a decoder that is read where it has seen all learns this"
    learner = load_learner(version)
    assert learner.reading == DECODER
    copied.mkdir()
    save_learner(learner, copied)
    first, second = answer(learner, rows), answer(load_learner(copied), rows)
    assert [row.confidence for row in first.predictions] == [row.confidence for row in second.predictions]
    assert (first.embeddings == second.embeddings).all() and first.values == second.values
    served = load_served_model("1", version, "float32")
    values = rows[learner.task.schema.inputs[0].name].tolist()
    answers = served.answer(values, served.encode(values))
    assert [row.value for row in answers] == first.values
    if tuning == "full" or dtype == "bfloat16":  # else the adapters are merged, which rounds
        alone = answer(learner, rows, batch_size=len(rows))
        assert [row.confidence for row in answers] == [row.confidence for row in alone.predictions]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_closed_form_reads_it_and_its_importances_are_taken(
    family, task, dtype, tiny_config, folder, tmp_path
) -> None:
    name, rows = str(FAMILIES[family].save(folder, pad=False)), rows_for(task, 48)
    stream = {"train": rows, "validation": rows.iloc[:9]}

    def learn(strategy, champion, target):
        config = tiny_config(
            task=task,
            model={"name": name, "tuning": "lora", "dropout": 0.0, "max_length": 16, "dtype": dtype},
            training={"epochs": 2, "batch_size": 8, "learning_rate": 3e-3, "precision": "float32"},
            strategy=strategy,
        )
        past = ["a"] if champion else []
        train(config, champion=champion, new=[target], past=past, rows_of=lambda _, part: stream[part],
              folder=tmp_path / target)  # fmt: skip
        return tmp_path / target

    solved = load_learner(learn({"name": "ranpac", "features": 0}, None, "solved"))
    values = answer(solved, rows).values
    assert solved.is_closed and solved.task.main_score(rows, values) > 0.7
    served = load_served_model("1", tmp_path / "solved", "float32")
    asked = rows[solved.task.schema.inputs[0].name].tolist()
    assert [row.value for row in served.answer(asked, served.encode(asked))] == values
    second = learn("ewc", learn("ewc", None, "a"), "b")
    assert len(answer(load_learner(second), rows).values) == len(rows)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("length", [6, 14, 20])
@pytest.mark.parametrize("family", ALL)
def test_no_kernel_lets_a_token_see_what_comes_after_it(family, length, kind, learner_of, folder) -> None:
    encoder = learner_of(family).encoder.eval()
    generator = torch.Generator().manual_seed(length)
    ids = torch.randint(3, 40, (3, length), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, length // 2 :] = 0
    later = ids.clone()
    later[:, length // 2 :] = torch.randint(3, 40, later[:, length // 2 :].shape, generator=generator)
    with torch.no_grad(), CpuKernels(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=kind == torch.bfloat16):
        states, changed = (encoder(input_ids=tokens, attention_mask=mask).last_hidden_state for tokens in (ids, later))
    assert not torch.equal(states[0], changed[0])
    assert torch.equal(states[:, : length // 2], changed[:, : length // 2])
    with torch.no_grad():
        encoder.set_attn_implementation("eager")
        plain = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if kind == torch.float32 else {"rtol": 0.1, "atol": 0.1}
    torch.testing.assert_close(states[mask.bool()].float(), plain[mask.bool()], **tolerance)


@pytest.mark.parametrize("family", ALL)
def test_a_text_is_read_at_its_last_token_and_a_word_at_its_last_piece(family, learner_of) -> None:
    learner, rows = learner_of(family, pad=False), texts(3, 7)
    (batch,) = learner.batches(learner.encode(rows), None)
    states = torch.arange(batch.mask.numel()).view(*batch.mask.shape, 1).float()
    lengths = batch.mask.sum(1)
    assert learner.features(states, batch).flatten().tolist() == [
        row * batch.mask.shape[1] + int(length) - 1 for row, length in enumerate(lengths)
    ]


@pytest.mark.parametrize("family", ["llama", "qwen2", "bert"])
def test_the_piece_at_which_a_word_is_read_depends_on_the_model(family, learner_of) -> None:
    learner = learner_of(family, task="token_classification")
    (row,) = learner.encode(pd.DataFrame({"tokens": [["anna", "lampsly", "is"]], "tags": [["B-PER", "O", "O"]]}))
    pieces = [
        learner.tokenizer(f" {word}", add_special_tokens=False)["input_ids"] for word in ["anna", "lampsly", "is"]
    ]
    assert len(pieces[1]) > 1
    shift, ends = (1, [0, *[len(piece) for piece in pieces]]) if family == "bert" else (0, [0, *map(len, pieces)])
    starts = [sum(ends[: index + 1]) + shift for index in range(3)]
    last = [start + len(piece) - 1 for start, piece in zip(starts, pieces, strict=True)]
    assert row.anchors == (starts if family == "bert" else last)
    assert [row.targets[position] for position in row.anchors] == [1, 0, 0]
    assert sum(target != -100 for target in row.targets) == 3


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("task", TASKS)
def test_a_version_of_an_older_release_answers_as_it_was_trained(family, task, learner_of, tmp_path) -> None:
    learner = learner_of(family, task=task)
    version = tmp_path / "version"
    version.mkdir()
    save_learner(learner, version)
    described = json.loads((version / "learner.json").read_text())
    del described["reading"], described["model"]["pooling"], described["model"]["dtype"]
    (version / "learner.json").write_text(json.dumps(described))
    older = load_learner(version)
    assert older.reading == Reading("mean", "first")
    assert change_tuning(older, learner.settings).reading == older.reading, "auto goes on as the champion does"
    with pytest.raises(ConfigError, match=r"model\.pooling 'last': the champion's head reads the mean state"):
        change_tuning(older, learner.settings.model_copy(update={"pooling": "last"}))


def test_a_decoder_that_is_told_to_attend_in_both_directions_is_read_like_an_encoder(tiny_config, folder) -> None:
    family = Family("Gemma3ForCausalLM", {**GROUPED, "use_bidirectional_attention": True}, causal=True)
    learner = new_learner(tiny_config(model={"name": str(family.save(folder, pad=True))}))
    assert learner.reading == Reading()


@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("family", ["bert", "llama"])
def test_the_pooling_that_is_asked_for_counts(family, pooling, tiny_config, folder) -> None:
    name = str(FAMILIES[family].save(folder, pad=True))
    assert new_learner(tiny_config(model={"name": name, "pooling": pooling})).reading.pooling == pooling


def test_windows_are_refused_where_the_last_token_would_see_only_one(tiny_config, folder) -> None:
    name = str(FAMILIES["llama"].save(folder, pad=True))
    model = {"name": name, "max_length": 16, "windows": {"overlap": 4, "at_most": 4}}
    with pytest.raises(ConfigError, match=r"model\.windows: .*last token, which sees only the last window: set model"):
        new_learner(tiny_config(model=model))
    assert new_learner(tiny_config(model={**model, "pooling": "mean"})).windows
    assert new_learner(tiny_config(task="token_classification", model=model)).windows


@pytest.mark.parametrize("weights", [None, [1.0, 3.0, 0.5, 2.0]])
@pytest.mark.parametrize("tuning", ["full", "lora", {"name": "full", "embeddings": True}])
@pytest.mark.parametrize("family", [*QUICK, "qwen3", "gemma"])
def test_gradients_of_each_row_in_one_pass_are_those_of_single_rows(family, tuning, weights, learner_of) -> None:
    if family == "gemma" and tuning == {"name": "full", "embeddings": True}:
        pytest.skip("Gemma's embeddings, of a class of their own that scales them, are read row by row")
    learner = learner_of(family, tuning=tuning)
    freeze_all_but_tuned(learner)
    rows = texts(3, 5, 5, 2).assign(label=["fee", "loan", "fee", "loan"])
    rows = rows if weights is None else rows.assign(sample_weight=weights)
    with torch.no_grad():  # norms that scale differently in each place, so that a wrong one shows
        for name, parameter in learner.encoder.named_parameters():
            if "norm" in name or "ln_" in name:
                parameter.add_(torch.rand_like(parameter))

    def objective(logits, targets):
        return torch.nn.functional.cross_entropy(logits, targets, reduction="sum")

    batched, single = (
        mean_over_rows(learner, rows, objective=objective, add=add_square, degree=2, rows_at_once=size)
        for size in (4, 1)
    )
    layers = _TrainableLayers(learner)
    assert layers.keep_rows_apart(learner.encode(rows)[0]), "all its layers are known: rows need not be read singly"
    assert batched.keys() == single.keys() and any(total.any() for total in single.values())
    for name, total in single.items():
        torch.testing.assert_close(
            batched[name], total, rtol=1e-4, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("family", ALL)
def test_int8_holds_every_matrix_and_learns_again(family, learner_of, tmp_path) -> None:
    learner = learner_of(family)
    whole = quantise_learner(learner)
    floats = {
        name for name, tensor in whole.encoder.state_dict().items() if tensor.is_floating_point() and tensor.ndim > 1
    }
    assert floats <= {"wpe.weight"} or family.startswith("gemma"), "matrices of layers are in int8"
    again = dequantise_learner(whole)
    assert {name: tensor.shape for name, tensor in again.encoder.state_dict().items()} == {
        name: tensor.shape for name, tensor in learner.encoder.state_dict().items()
    }
    ours, theirs = answer(again, texts(3, 6)).embeddings, answer(learner, texts(3, 6)).embeddings
    assert torch.cosine_similarity(torch.tensor(ours), torch.tensor(theirs)).min() > 0.99
    folder = tmp_path / "version"
    folder.mkdir()
    save_learner(again, folder)
    assert (answer(load_learner(folder), texts(3, 6)).embeddings == ours).all()


@pytest.mark.parametrize("form", ["onnx", "onnx-int8"])
@pytest.mark.parametrize("family", ALL)
def test_a_graph_answers_as_torch_does(family, form, learner_of, tmp_path) -> None:
    version, graph, rows = tmp_path / "version", tmp_path / "graph", texts(3, 6, 1, 5)
    version.mkdir()
    learner = learner_of(family, pad=False)
    save_learner(learner, version)
    to_onnx(form, teacher=version, learnt=["a"], rows_of=lambda *_: rows, folder=graph, seed=0)  # compares, or raises
    assert answer(load_learner(graph), rows).values == answer(learner, rows).values


def test_a_vocabulary_of_byte_pairs_is_not_pruned_and_says_so(learner_of) -> None:
    with pytest.raises(ConfigError, match="a BPE tokenizer cannot be narrowed, only WordPiece; set it to null"):
        tokens_to_keep(learner_of("qwen2").tokenizer, [], 10)


@pytest.mark.parametrize(
    ("family", "tuning"),
    [
        *(
            (family, tuning)
            for family in QUICK
            for tuning in ("full", "top_layers", "lora", "ia3", "head", "bottleneck")
        ),
        ("gpt2", "bitfit"),
        ("qwen2", "bitfit"),
    ],
)
def test_a_tuning_trains_what_it_says(family, tuning, learner_of) -> None:
    learner = learner_of(family, tuning=tuning)
    trained = {id(parameter) for parameter in learner.tuning.moving(learner.encoder)}
    assert bool(trained) is learner.tuning.trains_encoder
    tables = [module for module in learner.encoder.modules() if isinstance(module, torch.nn.Embedding)]
    assert tables and not trained & {id(table.weight) for table in tables}, "embeddings stay as they are"
    inside = learner.tuning.moving(learner.encoder)
    assert len(inside) < len(list(learner.encoder.parameters())) or tuning == "full"


def test_biases_alone_are_refused_where_a_family_has_none(learner_of) -> None:
    with pytest.raises(ConfigError, match=r"model\.tuning 'bitfit' finds nothing to train in LlamaModel: choose full"):
        learner_of("llama", tuning="bitfit")


def test_the_end_of_a_text_stands_in_for_padding_and_no_embedding_is_added(learner_of) -> None:
    learner = learner_of("gpt2", pad=False)
    size = learner.encoder.get_input_embeddings().num_embeddings
    learner.encoder.config.pad_token_id = None
    assert size == 320 and learner.tokenizer.pad_token in ("<pad>", "</s>")
    short, long = texts(2), texts(9)
    both = pd.concat([short, long], ignore_index=True)
    torch.testing.assert_close(
        answer(learner, short).embeddings[0], answer(learner, both).embeddings[0], rtol=1e-4, atol=1e-5
    )


def test_frozen_weights_in_bfloat16_take_half_the_space_and_what_is_trained_stays_exact(learner_of, tmp_path) -> None:
    learner = learner_of("llama", tuning="lora")
    halved = change_tuning(learner, learner.settings.model_copy(update={"dtype": "bfloat16"}))
    trained = {id(parameter) for parameter in halved.tuning.moving(halved.encoder)}
    for parameter in halved.encoder.parameters():
        assert parameter.dtype == (torch.float32 if id(parameter) in trained else torch.bfloat16)
    folder = tmp_path / "version"
    folder.mkdir()
    save_learner(halved, folder)
    loaded = load_learner(folder).encoder.state_dict()
    for name, tensor in halved.encoder.state_dict().items():
        assert loaded[name].dtype == tensor.dtype and torch.equal(loaded[name], tensor)
    back = change_tuning(halved, learner.settings)
    assert {parameter.dtype for parameter in back.encoder.parameters()} == {torch.float32}
