"""The Trainer of transformers over a stream: what one would write by hand, on the same rows and tokens.

It fine-tunes the task's own model of transformers on one experience after the other, with the same encoder, epochs,
batch size, learning rate, warm-up and seed as the configuration says, and nothing against forgetting. All labels are
known from the start. Rows become tokens, and probabilities become answers, as the task says, so that only learning
differs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import transformers
from transformers import PrinterCallback, Trainer, TrainingArguments

from cl import plugins
from cl.config import Config
from cl.models.batching import batch_by_length, collate
from cl.models.pretrained import load_pretrained, without_warnings
from cl.tasks import IGNORED, Encoded, Targets, Task

MODELS = {
    "multi_label_classification": "AutoModelForSequenceClassification",
    "question_answering": "AutoModelForQuestionAnswering",
    "relation_extraction": "AutoModelForSequenceClassification",
    "text_classification": "AutoModelForSequenceClassification",
    "token_classification": "AutoModelForTokenClassification",
}


class TrainerLoop:
    """A model of transformers that learns a task's rows with a Trainer for each experience."""

    def __init__(self, config: Config, labels: list[str], folder: Path) -> None:
        """Build the model on the configured encoder.

        Args:
            config: task, encoder and training.
            labels: all that will ever be answered.
            folder: for the encoder and what the Trainer writes.
        """
        self.config, self.labels, self.folder = config, labels, folder
        self.task: Task = plugins.build(Task, config.task)
        encoder, self.tokenizer = load_pretrained(config.model.name, split_words=self.task.splits_words)
        settings: dict[str, Any] = {} if self._finds_spans else {"num_labels": len(labels)}
        if self._has_several:
            settings["problem_type"] = "multi_label_classification"
        transformers.set_seed(config.seed)
        with without_warnings():
            encoder.save_pretrained(folder / "encoder")
            self.model = getattr(transformers, MODELS[self.task.name]).from_pretrained(folder / "encoder", **settings)

    @property
    def _finds_spans(self) -> bool:
        return self.task.name == "question_answering"

    @property
    def _has_several(self) -> bool:
        return self.task.name == "multi_label_classification"

    def learn(self, rows: pd.DataFrame) -> None:
        """Fine-tune on the rows that have a target."""
        training, encoded = self.config.training, self._encode(rows)
        arguments = TrainingArguments(
            output_dir=str(self.folder / "trainer"),
            num_train_epochs=training.epochs,
            per_device_train_batch_size=training.batch_size,
            learning_rate=training.learning_rate,
            weight_decay=training.weight_decay,
            max_grad_norm=training.clip_norm,
            warmup_steps=training.warmup,  # below 1: a share of the steps
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            remove_unused_columns=False,
            seed=self.config.seed,
        )
        data: Any = [row for row in encoded if row.targets != [IGNORED] * len(row.targets)]
        trainer = Trainer(model=self.model, args=arguments, train_dataset=data, data_collator=self._inputs)
        trainer.remove_callback(PrinterCallback)
        trainer.train()

    def probabilities(self, rows: pd.DataFrame) -> list[np.ndarray]:
        """Return each row's probabilities (positions, labels)."""
        encoded = self._encode(rows)
        answers: list[np.ndarray] = [np.zeros(0)] * len(encoded)
        self.model.eval()
        with torch.inference_mode():
            for indices in batch_by_length([len(row.input_ids) for row in encoded], 64):
                batch = collate(self.task, encoded, indices, self._padding, torch.device("cpu"))
                output = self.model(input_ids=batch.input_ids, attention_mask=batch.mask)
                logits = (
                    torch.stack([output.start_logits, output.end_logits], dim=-1)
                    if self._finds_spans
                    else output.logits
                )
                if logits.ndim == 3:
                    logits = self.task.limit(logits, batch)
                own = self.task.probabilities(logits).numpy()
                for index, row in zip(indices, own, strict=True):
                    answers[index] = row.reshape(-1, row.shape[-1])
        return answers

    def answer(self, rows: pd.DataFrame, thresholds: list[float] | None = None) -> list[Any]:
        """Return the answer to each row; labels of which a row may have several are answered from 1/2 on by default."""
        targets = Targets(self.labels, thresholds)
        pairs = zip(self.probabilities(rows), self._encode(rows), strict=True)
        return [self.task.decode(own, row, targets).value for own, row in pairs]

    def thresholds(self, rows: pd.DataFrame) -> list[float] | None:
        """Return the thresholds that the task chooses on validation rows; None: it has none."""
        if not self.task.has_thresholds:
            return None
        return self.task.thresholds(rows, np.concatenate(self.probabilities(rows)), self.labels)

    @property
    def _padding(self) -> int:
        return int(self.tokenizer.pad_token_id)

    def _encode(self, rows: pd.DataFrame) -> list[Encoded]:
        return self.task.encode(rows, self.tokenizer, self.labels, max_length=self.config.model.max_length)

    def _inputs(self, rows: list[Encoded]) -> dict[str, torch.Tensor]:
        batch = collate(self.task, rows, list(range(len(rows))), self._padding, torch.device("cpu"))
        inputs = {"input_ids": batch.input_ids, "attention_mask": batch.mask}
        if self._finds_spans:
            return {**inputs, "start_positions": batch.targets[:, 0], "end_positions": batch.targets[:, 1]}
        return {**inputs, "labels": batch.targets.float() if self._has_several else batch.targets}
