"""SetFit with its usual settings (one epoch, batches of 16, its own sampling), called by bench/few_rows.py.

The arguments are a folder and a seed. The folder has train.jsonl and test.jsonl with text and label, and the encoder;
accuracy and CPU seconds of training are printed as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, models
from setfit import SetFitModel, Trainer, TrainingArguments
from sklearn.linear_model import LogisticRegression


def read(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def main(folder: Path, seed: int) -> None:
    torch.set_num_threads(1)
    rows, tests = read(folder / "train.jsonl"), read(folder / "test.jsonl")
    encoder = models.Transformer(str(folder / "encoder"), max_seq_length=128)
    pooling = models.Pooling(encoder.get_word_embedding_dimension(), "mean")
    body = SentenceTransformer(modules=[encoder, pooling, models.Normalize()], device="cpu")
    model = SetFitModel(model_body=body, model_head=LogisticRegression())
    arguments = TrainingArguments(
        batch_size=16, num_epochs=1, seed=seed, report_to="none", output_dir=str(folder / "out"), save_strategy="no"
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=Dataset.from_list(rows))
    began = resource.getrusage(resource.RUSAGE_SELF)
    trainer.train()
    ended = resource.getrusage(resource.RUSAGE_SELF)
    answers = model.predict([row["text"] for row in tests])
    right = sum(str(answer) == row["label"] for answer, row in zip(answers, tests, strict=True))
    seconds = ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime
    print(json.dumps({"accuracy": right / len(tests), "cpu_seconds": seconds}))


main(Path(sys.argv[1]), int(sys.argv[2]))
