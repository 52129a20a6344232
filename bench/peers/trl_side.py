"""TRL's SFTTrainer with LoRA on one experience after the other, called by bench/language_models.py.

The argument is a JSON file: base, experiences (files of JSON lines with prompt and completion), system, rank, alpha,
targets, learning_rate, epochs, batch_size, max_length, packing, bf16, seed, threads and out. After each experience the
adapter is saved to out/NUMBER; processor and wall seconds of training, and its tokens, are printed as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer


def read(path: str, system: str) -> list[dict[str, Any]]:
    """Return rows as prompts and completions in TRL's conversational format."""
    rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    before = [{"role": "system", "content": system}] if system else []
    return [
        {
            "prompt": [*before, {"role": "user", "content": row["prompt"]}],
            "completion": [{"role": "assistant", "content": row["completion"]}],
        }
        for row in rows
    ]


def cpu_seconds() -> float:
    """Return user and system seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main(given: dict[str, Any]) -> None:
    """Learn the experiences, and print what each took."""
    torch.set_num_threads(given["threads"])
    tokenizer = AutoTokenizer.from_pretrained(given["base"])
    model = AutoModelForCausalLM.from_pretrained(given["base"], dtype=torch.float32)
    lora = LoraConfig(
        r=given["rank"], lora_alpha=given["alpha"], target_modules=given["targets"], task_type="CAUSAL_LM"
    )
    model = get_peft_model(model, lora)
    for number, path in enumerate(given["experiences"], start=1):
        arguments = SFTConfig(
            output_dir=f"{given['out']}/trainer",
            per_device_train_batch_size=given["batch_size"],
            num_train_epochs=given["epochs"],
            learning_rate=given["learning_rate"],
            warmup_steps=0.1,
            weight_decay=0.01,
            max_length=given["max_length"],
            packing=given["packing"],
            bf16=given["bf16"],
            gradient_checkpointing=False,
            save_strategy="no",
            report_to="none",
            use_cpu=not torch.cuda.is_available(),
            seed=given["seed"],
        )
        trainer = SFTTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_list(read(path, given["system"])),
            processing_class=tokenizer,
        )
        tokens = sum(len(ids) for ids in trainer.train_dataset["input_ids"]) * given["epochs"]
        began, started = cpu_seconds(), time.perf_counter()
        trainer.train()
        took = {"cpu_seconds": cpu_seconds() - began, "seconds": time.perf_counter() - started, "tokens": tokens}
        trainer.model.save_pretrained(f"{given['out']}/{number}")
        print(json.dumps(took), flush=True)


main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
