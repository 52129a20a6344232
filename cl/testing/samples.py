"""Small made-up rows, evaluations and encoders, for examples and for tests of your own plug-ins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cl.records import Evaluation, Score
from cl.records.evaluation import decided

if TYPE_CHECKING:
    from transformers import BertModel, PreTrainedTokenizerFast

    from cl.models.snapshot import Snapshot
    from cl.training.buffers import Offer

WORDS = ("where", "is", "my", "the", "a", "please", "help", "parcel", "card", "order", "money", "new", "lost", "late")


def sample_rows(labels: Sequence[str], rows: int, *, seed: int = 0) -> pd.DataFrame:
    """Return rows with id, text and label; each label's texts end with it, and the labels take turns.

    >>> sample_rows(["fee", "loan"], 3)["label"].tolist()
    ['fee', 'loan', 'fee']
    """
    rng = np.random.default_rng(seed)
    chosen = [labels[index % len(labels)] for index in range(rows)]
    texts = [" ".join([*rng.choice(WORDS, size=int(rng.integers(2, 9))), label]) for label in chosen]
    return pd.DataFrame({"id": [f"r{seed}-{index}" for index in range(rows)], "text": texts, "label": chosen})


def sample_snapshot(
    rows: int,
    *,
    seed: int = 0,
    labels: Sequence[str] = ("fee", "loan", "card"),
    shift: float = 0.0,
    accuracy: float = 0.9,
    confidence: float = 8.0,
) -> Snapshot:
    """Return rows as a champion sees them, which knows the labels fee, loan and card.

    Args:
        rows: how many.
        seed: of all that is drawn.
        labels: those of the rows, drawn uniformly.
        shift: added to the embeddings (rows, 16), which are standard normal without it.
        accuracy: the share of right predictions.
        confidence: confidences follow the beta distribution with these and 1.
    """
    from cl.models.snapshot import Snapshot

    rng = np.random.default_rng(seed)
    frame = sample_rows(labels, rows, seed=seed)
    frame["label"] = frame["prediction"] = rng.choice(labels, rows)
    frame["confidence"] = rng.beta(confidence, 1, rows)
    frame["score"] = (rng.uniform(size=rows) < accuracy).astype(float)
    embeddings = (rng.normal(size=(rows, 16)) + shift).astype(np.float32)
    return Snapshot(frame, embeddings, ("fee", "loan", "card"))


def sample_evaluation(
    challenger: Sequence[float], champion: Sequence[float], *, experiences: Sequence[str] = ("may", "june")
) -> tuple[Evaluation, pd.DataFrame]:
    """Return an evaluation and its stored rows, as gates judge them.

    Args:
        challenger: each test row's score, 0 to 1.
        champion: the same for the champion.
        experiences: the rows belong to them in turn, in equal parts.
    """
    size = len(challenger) // len(experiences)
    names = [experience for experience in experiences for _ in range(size)]
    rows = pd.DataFrame(
        {
            "experience": names,
            "id": [f"r{index}" for index in range(len(names))],
            "target": ["fee", "loan"] * (len(names) // 2),
            "chars": range(10, 10 + len(names)),
            "challenger": "fee",
            "challenger_score": np.asarray(challenger, dtype=float),
            "confidence": 0.9,
            "challenger_brier": 0.1,
            "champion": "fee",
            "champion_score": np.asarray(champion, dtype=float),
            "champion_confidence": 0.9,
            "champion_brier": 0.1,
            "best_score": np.maximum(challenger, champion).astype(float),
        }
    )
    means = {model: rows.groupby("experience", sort=False)[f"{model}_score"].mean() for model in _MODELS}
    scores = {
        model: [Score(experience=name, rows=size, value=float(value)) for name, value in means[model].items()]
        for model in _MODELS
    }
    now, before = decided(scores["challenger"]), decided(scores["champion"])
    return (
        Evaluation(
            metric="accuracy",
            challenger=scores["challenger"],
            champion=scores["champion"],
            accuracy=float(np.mean(list(now.values()))),
            champion_accuracy=float(np.mean(list(before.values()))),
            forgetting={name: before[name] - now[name] for name in experiences[:-1]},
            newest=experiences[-1],
            calibration_error=0.02,
            latency_ms=8.0,
            size_mb=90.0,
            predictions="",
        ),
        rows,
    )


_MODELS = ("challenger", "champion")


def sample_offer(rows: int, *, budget: int, labels: Sequence[str] = ("fee", "fee", "fee", "loan")) -> Offer:
    """Return what a buffer chooses from after a first experience.

    The embedding of a row is its index, and so is its margin: the first row is the least certain.
    """
    from cl.training.buffers import Offer, View

    new = sample_rows(labels, rows)
    new["class"] = new["label"]
    index = {id: float(position) for position, id in enumerate(new["id"])}

    def margins(chosen: pd.DataFrame) -> np.ndarray:
        return np.asarray(chosen["id"].map(index), dtype=float)

    view = View(embeddings=lambda chosen: margins(chosen)[:, None].astype(np.float32), margins=margins)
    return Offer(kept=None, new=new, budget=budget, seen=0, rng=np.random.default_rng(0), view=view)


def tiny_encoder(layers: int = 2) -> BertModel:
    """Return a BERT of width 8 with random weights, built from its configuration."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=16,
        hidden_size=8,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )
    return BertModel(config, add_pooling_layer=False)


def tiny_tokenizer(*, chat_template: str | None = None) -> PreTrainedTokenizerFast:
    """Return a tokenizer whose tokens are the small letters and the blank, after <pad>, </s> and <unk>.

    Args:
        chat_template: in Jinja; None: it has none.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = ["<pad>", "</s>", "<unk>", " ", *"abcdefghijklmnopqrstuvwxyz"]
    inner = Tokenizer(models.WordLevel({letter: id for id, letter in enumerate(letters)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    inner.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", name_or_path="tiny"
    )
    tokenizer.chat_template = chat_template
    return tokenizer
