"""Soup (soup-cli) on one experience after the other, for bench/language_models.py: `soup train`, then `soup merge`.

Each run makes an adapter of its own on the model that the run before has merged, as Soup's documentation has it.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class SoupSettings:
    """How Soup trains: its command, and the same numbers as the other ways have.

    ``ratio``: replayed rows for each new one; 0: no replay.
    """

    command: str
    base: str
    rank: int
    alpha: float
    targets: Sequence[str]
    learning_rate: float
    epochs: int
    batch_size: int
    max_length: int
    seed: int
    threads: int
    ratio: float


def learn_with_soup(
    settings: SoupSettings, experiences: Mapping[str, Sequence[Mapping[str, str]]], folder: Path
) -> tuple[list[Path], list[dict[str, float]]]:
    """Learn experiences (rows with prompt and completion); return the merged model after each, and what each took.

    Processor seconds are those of the command `soup train`, with its start.
    """
    base, old, merged, took = settings.base, folder / "old.jsonl", list[Path](), list[dict[str, float]]()
    for number, rows in enumerate(experiences.values(), start=1):
        _write(folder / f"{number}.jsonl", rows)
        config = _config(settings, base, f"./{number}.jsonl", old if old.exists() else None)
        (folder / f"{number}.yaml").write_text(json.dumps({**config, "output": f"./adapter-{number}"}))
        began, started = _children_seconds(), time.perf_counter()
        _run(settings, folder, "train", "--config", f"{number}.yaml", "--yes")
        took.append({"cpu_seconds": _children_seconds() - began, "seconds": time.perf_counter() - started})
        whole = folder / f"merged-{number}"
        _run(
            settings, folder, "merge", "--adapter", f"adapter-{number}", "--base", base, "--output", whole.name,
            "--dtype", "float32",
        )  # fmt: skip
        with old.open("a", encoding="utf-8") as file:
            file.write((folder / f"{number}.jsonl").read_text(encoding="utf-8"))
        base = str(whole)
        merged.append(whole)
    return merged, took


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _write(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    lines = [
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": row["prompt"]},
                    {"role": "assistant", "content": row["completion"]},
                ]
            }
        )
        for row in rows
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _config(settings: SoupSettings, base: str, train: str, old: Path | None) -> dict[str, Any]:
    data: dict[str, Any] = {"train": train, "format": "chatml", "max_length": settings.max_length, "val_split": 0.0}
    if old is not None and settings.ratio:
        share = settings.ratio / (1 + settings.ratio)  # of the mixed rows
        data |= {"replay": f"./{old.name}", "replay_ratio": share, "replay_seed": settings.seed}
    lora = {
        "r": settings.rank, "alpha": int(settings.alpha), "dropout": 0.0, "target_modules": list(settings.targets),
    }  # fmt: skip
    training = {
        "epochs": settings.epochs, "lr": settings.learning_rate, "batch_size": settings.batch_size,
        "quantization": "none", "seed": settings.seed, "lora": lora,
    }  # fmt: skip
    return {"base": base, "task": "sft", "data": data, "training": training}


def _run(settings: SoupSettings, folder: Path, *command: str) -> None:
    threads = str(settings.threads)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": threads, "SOUP_NO_AUDIT_LOG": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [settings.command, "--no-telemetry", *command],
        capture_output=True, text=True, check=False, cwd=folder, env=environment,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"soup {command[0]} failed: {(done.stdout + done.stderr)[-2000:]}")
