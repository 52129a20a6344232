"""Language models that learn one experience after the other: strategies side by side, and TRL's SFTTrainer.

    python bench/language_models.py translation TICO19 --python TRL/bin/python [--train 200] [--test 100] [--seeds 0 1]
    python bench/language_models.py translation TICO19 --ways "replay" "soup" "soup replay" --soup SOUP/bin/soup
    python bench/language_models.py translation TICO19 --ways naive averaging "merge ties" o_lora --validation 20
    python bench/language_models.py summaries QMSUM ...
    python bench/language_models.py answers XQUAD ...
    python bench/language_models.py relations FEWREL ...

The folder holds the gzipped JSON lines of a public data set: TICO-19 (into French, then Spanish), QMSum (meetings of
academics, then of a product team), XQuAD (English, German, Spanish) or FewRel (wiki, then semeval). Each way starts
from the same base (SmolLM2-135M-Instruct), sees the same rows with the same instruction, and has the same rank, adapted
layers, learning rate, epochs and batch size. ``trl`` is SFTTrainer of the environment TRL (bench/peers/trl.txt): an
adapter that goes on from experience to experience, scored by the same code as ours. ``soup`` is Soup of the environment
SOUP (bench/peers/soup.txt), without and with its replay of as many old rows as ours.

For each experience: NLL of a token of the true answers, of the test rows; the task's score of the first ``--write`` of
them, in percent; after the experience itself, and after the last one. Forgetting is the mean of their differences.
Seconds are of training; tokens a second count those of prompts and answers.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import fmean
from typing import Any

os.environ.update(TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")

import pandas as pd
import torch
from peers.soup_way import SoupSettings, learn_with_soup
from safetensors.torch import load_file
from side_by_side import Row, Stream, cpu_seconds, read_rows

from cl.config import Config, parse
from cl.models.build import new_learner
from cl.models.generation import read_answers, write
from cl.models.language_learner import LanguageLearner
from cl.models.locate import locate_model
from cl.models.persistence import load_learner
from cl.training.train import train

TRL, SOUP = "trl", {"soup": 0.0, "soup replay": 0.5}
WAYS: dict[str, Any] = {
    "naive": "naive",
    "replay": {"name": "replay", "ratio": 0.5},
    "kl": "kl",
    "replay + kl": [{"name": "replay", "ratio": 0.5}, "kl"],
    "joint": "joint",
    "averaging": "averaging",
    **{f"merge {method}": {"name": "merge", "method": method} for method in ("linear", "ties", "dare", "magmax")},
    "o_lora": "o_lora",
    "own words": {"name": "replay", "ratio": 0.5, "targets": "own"},
}
PARTS = {"train": ("train", "validation"), "test": ("test",)}


def translation(row: Row) -> Row:
    """Return a row of TICO-19 as prompt and completion."""
    return {"prompt": row["source"], "completion": row["target"]}


def summary(row: Row) -> Row:
    """Return a row of QMSum as prompt and completion: the beginning of the document, and what is asked."""
    return {"prompt": f"{row['query']}\n\n{row['document'][:1200]}", "completion": row["summary"]}


def answer_of(row: Row) -> Row:
    """Return a row of XQuAD as prompt and completion: 600 characters around the answer, and the question."""
    answer = row["answers"][0]
    start = max(0, answer["start"] - 300)
    return {"prompt": f"{row['context'][start : start + 600]}\n\n{row['question']}", "completion": answer["text"]}


def relation(row: Row) -> Row:
    """Return a row of FewRel as prompt and completion."""
    head, tail = (" ".join(row["tokens"][slice(*row[name])]) for name in ("head", "tail"))
    return {"prompt": f"{' '.join(row['tokens'])}\n{head} | {tail}", "completion": row["relation"].replace("_", " ")}


STREAMS: dict[str, dict[str, Any]] = {
    "translation": {
        "experiences": {"en-fr": "Translate into French.", "en-es-419": "Translate into Spanish."},
        "row": translation,
        "task": {"metric": "chrf", "max_new_tokens": 64},
        "max_length": 192,
    },
    "summaries": {
        "experiences": dict.fromkeys(("academic", "product"), "Answer the question about the meeting."),
        "row": summary,
        "task": {"metric": "rouge_l", "max_new_tokens": 96},
        "max_length": 512,
    },
    "answers": {
        "experiences": dict.fromkeys(("en", "de", "es"), "Answer the question in words of the text."),
        "row": answer_of,
        "task": {"metric": "f1", "max_new_tokens": 24},
        "max_length": 320,
    },
    "relations": {
        "experiences": dict.fromkeys(("wiki", "semeval"), "Name the relation of the first to the second."),
        "row": relation,
        "task": {"metric": "exact_match", "max_new_tokens": 16},
        "max_length": 160,
    },
}


def make_stream(kind: str, folder: Path, sizes: dict[str, Any], seed: int) -> Stream:
    """Return the experiences: the rows of each split, drawn by the seed; the instruction is part of a prompt."""
    described, stream = STREAMS[kind], Stream()
    for name, instruction in described["experiences"].items():
        rng = random.Random(seed)
        stream[name] = []
        for part, splits in PARTS.items():
            rows = read_rows(folder, f"{name}.{part}")
            rng.shuffle(rows)
            wanted = [split for split in splits for _ in range(sizes[split])]
            for row, split in zip(rows, wanted, strict=False):
                own = described["row"](row)
                prompt = f"{instruction}\n{own['prompt']}"
                stream[name].append(
                    {"id": str(row.get("id", len(stream[name]))), **own, "prompt": prompt, "split": split}
                )
    return stream


def rows_of(stream: Stream, names: list[str], split: str) -> pd.DataFrame:
    """Return the rows of experiences in a split."""
    rows = [
        {**row, "id": f"{name}-{split}-{number}", "date": None}
        for name in names
        for number, row in enumerate(stream[name])
        if row["split"] == split
    ]
    return pd.DataFrame(rows, columns=["id", "prompt", "completion", "date"])


class Scores:
    """NLL and score of each experience, after each experience."""

    def __init__(self, stream: Stream, written: int) -> None:
        """Take the test rows, of which so many are answered by writing."""
        self.tests = {name: rows_of(stream, [name], "test") for name in stream}
        self.written = written
        self.nll: list[dict[str, float]] = []
        self.score: list[dict[str, float]] = []

    def add(self, learner: LanguageLearner, seen: list[str]) -> None:
        """Score the experiences seen so far."""
        nll, score = {}, {}
        for name in seen:
            rows = self.tests[name]
            nll[name] = read_answers(learner, learner.encode(rows)).loss
            if self.written:
                part = rows.head(self.written)
                values = [prediction.value for prediction in write(learner, learner.encode(part))]
                score[name] = 100 * learner.task.main_score(part, values)
        self.nll.append(nll)
        self.score.append(score)

    def show(self, way: str, took: list[dict[str, float]]) -> None:
        """Print the line of a way."""
        names = list(self.tests)
        cells = [_forgotten(self.nll, names, sign=1), *(self.nll[-1][name] for name in names)]
        learned = [self.nll[number][name] for number, name in enumerate(names)]
        line = f"{way:<14}" + " ".join(f"{value:7.3f}" for value in [*cells, fmean(learned)])
        if self.written:
            cells = [_forgotten(self.score, names, sign=-1), *(self.score[-1][name] for name in names)]
            line += "  |" + " ".join(f"{value:6.1f}" for value in cells)
        cpu, tokens = (sum(step[key] for step in took) for key in ("cpu_seconds", "tokens"))
        print(f"{line}  |{cpu:7.0f} {tokens / cpu:7.0f}", flush=True)


def _forgotten(matrix: list[dict[str, float]], names: list[str], *, sign: int) -> float:
    lost = [sign * (matrix[-1][name] - matrix[number][name]) for number, name in enumerate(names[:-1])]
    return fmean(lost)


def learn_ours(config: Config, stream: Stream, scores: Scores, folder: Path) -> list[dict[str, float]]:
    """Learn the experiences one after the other, and return what each took."""
    champion, past, took = None, list[str](), list[dict[str, float]]()
    for name in stream:
        began, started = cpu_seconds(), time.perf_counter()
        train(
            config,
            champion=champion,
            new=[name],
            past=past,
            rows_of=lambda ids, split: rows_of(stream, ids, split),
            folder=folder / name,
        )
        took.append({"cpu_seconds": cpu_seconds() - began, "seconds": time.perf_counter() - started})
        champion, past = folder / name, [*past, name]
        learner = load_learner(champion)
        assert isinstance(learner, LanguageLearner)
        took[-1]["tokens"] = config.training.epochs * sum(
            len(row.input_ids) for row in learner.encode(rows_of(stream, [name], "train"))
        )
        scores.add(learner, past)
    return took


def learn_with_trl(
    config: Config,
    stream: Stream,
    scores: Scores,
    folder: Path,
    *,
    python: str,
    packing: bool,
    bf16: bool,
    threads: int,
) -> list[dict[str, float]]:
    """Let TRL learn the experiences, score its adapters, and return what each took."""
    learner = new_learner(config)
    assert isinstance(learner, LanguageLearner)
    tuning: Any = config.model.tuning
    files = []
    for name in stream:
        path = folder / f"{name}.jsonl"
        rows_of(stream, [name], "train").to_json(path, orient="records", lines=True)
        files.append(str(path))
    given = {
        "base": str(locate_model(config.model.name)),
        "experiences": files,
        "system": "",
        "rank": tuning["rank"],
        "alpha": tuning["alpha"],
        "targets": targets_of(learner),
        "learning_rate": tuning["learning_rate"],
        "epochs": config.training.epochs,
        "batch_size": config.training.batch_size,
        "max_length": config.model.max_length,
        "packing": packing,
        "bf16": bf16,
        "seed": config.seed,
        "threads": threads,
        "out": str(folder),
    }
    (folder / "given.json").write_text(json.dumps(given), encoding="utf-8")
    side = Path(__file__).parent / "peers" / "trl_side.py"
    done = subprocess.run([python, str(side), str(folder / "given.json")], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"TRL failed: {done.stderr[-2000:]}")
    took = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"cpu_seconds"')]
    for number in range(1, len(files) + 1):
        load_adapter(learner, folder / str(number))
        scores.add(learner, list(stream)[:number])
    return took


def targets_of(learner: LanguageLearner) -> list[str]:
    """Return the names of the layers that are adapted."""
    named = (name for name, _ in learner.encoder.named_parameters() if ".lora_" in name)
    return sorted({name.split(".lora_")[0].rpartition(".")[2] for name in named})


def score_soup(
    config: Config, stream: Stream, scores: Scores, folder: Path, *, command: str, ratio: float, threads: int
) -> list[dict[str, float]]:
    """Let Soup learn the experiences, score its merged models, and return what each took."""
    learner = new_learner(config)
    assert isinstance(learner, LanguageLearner)
    tuning: Any = config.model.tuning
    settings = SoupSettings(
        command=str(Path(command).absolute()),
        base=str(locate_model(config.model.name)),
        rank=tuning["rank"],
        alpha=tuning["alpha"],
        targets=targets_of(learner),
        learning_rate=tuning["learning_rate"],
        epochs=config.training.epochs,
        batch_size=config.training.batch_size,
        max_length=4 * config.model.max_length,  # it refuses rows whose answer would be cut, so that it reads all whole
        seed=config.seed,
        threads=threads,
        ratio=ratio,
    )
    train = {name: rows_of(stream, [name], "train").to_dict("records") for name in stream}
    merged, took = learn_with_soup(settings, train, folder)
    for number, (name, path) in enumerate(zip(stream, merged, strict=True), start=1):
        rows = learner.encode(rows_of(stream, [name], "train"))
        took[number - 1]["tokens"] = config.training.epochs * sum(len(row.input_ids) for row in rows)
        own = config.model_copy(update={"model": config.model.model_copy(update={"name": str(path)})})
        whole = new_learner(own)  # its adapter adds nothing yet
        assert isinstance(whole, LanguageLearner)
        scores.add(whole, list(stream)[:number])
    return took


def load_adapter(learner: LanguageLearner, folder: Path) -> None:
    """Put the matrices of an adapter of peft into the learner."""
    saved = load_file(folder / "adapter_model.safetensors")
    tensors = {
        name.removeprefix("base_model.model.")
        .replace("_A.weight", "_A.default.weight")
        .replace("_B.weight", "_B.default.weight"): tensor
        for name, tensor in saved.items()
    }
    missing = learner.encoder.load_state_dict(tensors, strict=False)
    if missing.unexpected_keys:
        raise SystemExit(f"the adapter does not fit: {missing.unexpected_keys[:3]}")


def main() -> None:
    """Print a table for each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=STREAMS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ways", nargs="*", default=[*WAYS, TRL], choices=[*WAYS, TRL, *SOUP])
    parser.add_argument("--train", type=int, default=200, help="training rows of an experience")
    parser.add_argument("--validation", type=int, default=0, help="rows of an experience by which merges are chosen")
    parser.add_argument("--test", type=int, default=100, help="test rows of an experience")
    parser.add_argument("--write", type=int, default=24, help="test rows that are answered by writing")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--python", default="python", help="of the environment with TRL")
    parser.add_argument("--soup", default="soup", help="the command of the environment with Soup")
    parser.add_argument("--packing", action="store_true", help="let TRL pack")
    parser.add_argument(
        "--bf16", action="store_true", help="let TRL compute in bfloat16, as the others do where it is native"
    )
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    described = STREAMS[given.what]
    for seed in given.seeds:
        stream = make_stream(given.what, given.folder, vars(given), seed)
        names = list(stream)
        sizes = ", ".join(f"{name} {len(rows)} rows" for name, rows in stream.items())
        print(f"{given.what}, seed {seed}: {sizes}")
        print(f"{'':<14}NLL: lost, {', '.join(names)}, when learned | score: lost, in the end | CPU s, tokens/s")
        for way in given.ways:
            raw = {
                "task": {"name": "text_generation", **described["task"]},
                "model": {
                    "name": given.model,
                    "max_length": described["max_length"],
                    "tuning": {"name": "lora", "rank": 10, "alpha": 20.0, "learning_rate": 1e-3},
                },
                "training": {"epochs": given.epochs, "batch_size": 8},
                "strategy": WAYS.get(way, "naive"),
                "seed": seed,
            }
            config, scores = parse(raw, where="bench"), Scores(stream, given.write)
            with tempfile.TemporaryDirectory() as scratch:
                if way == TRL:
                    took = learn_with_trl(
                        config,
                        stream,
                        scores,
                        Path(scratch),
                        python=given.python,
                        packing=given.packing,
                        bf16=given.bf16,
                        threads=given.threads,
                    )
                elif way in SOUP:
                    ratio, command = SOUP[way], given.soup
                    took = score_soup(
                        config, stream, scores, Path(scratch), command=command, ratio=ratio, threads=given.threads
                    )
                else:
                    took = learn_ours(config, stream, scores, Path(scratch))
            scores.show(way, took)


if __name__ == "__main__":
    main()
