"""A teacher that has learnt CLINC150's domains one after the other, its student, and both in int8 and ONNX.

    python bench/distil.py DATA --out FOLDER [--strategy '{name: ranpac, features: 5000}'] [--set distil.epochs=8]

DATA holds train.jsonl.gz, dev.jsonl.gz and test.jsonl.gz. What is finished in FOLDER is not made again. Printed is a
table: accuracy over all test rows, parameters (embeddings included), size on disk, the median time of one prediction
of one row, rows a second where 32 are asked at once (all models in turn, in one process), and the worst and mean
forgetting over domains; and how far a confidence moves, at most, when 256 rows are asked one by one and not together.
``--others`` adds what ONNX Runtime's own quantiser, and torchao's, make of the same encoders.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import json
import time
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from quantisers import AVAILABLE, quantised_by

from cl.compression.distil import distil
from cl.compression.rewrite import quantise, to_onnx
from cl.config import Config, parse
from cl.evaluation.latency import measure_latency
from cl.models.feature_cache import cached_in
from cl.models.inference import answer, predict
from cl.models.learner import Learner
from cl.models.persistence import load_learner
from cl.training.train import train

FILES = {"train": "train", "validation": "dev", "test": "test"}


class Stream:
    """The rows of all domains, by split; a domain is an experience."""

    def __init__(self, data: Path) -> None:
        self._rows = {split: _read(data / f"{name}.jsonl.gz", split) for split, name in FILES.items()}
        self.domains: list[str] = list(dict.fromkeys(self._rows["train"]["domain"]))

    def rows_of(self, ids: list[str], split: str) -> pd.DataFrame:
        """Return the rows of some domains."""
        rows = self._rows[split]
        return rows[rows["domain"].isin(ids)].reset_index(drop=True)


def _read(path: Path, split: str) -> pd.DataFrame:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = pd.DataFrame(map(json.loads, file))
    return rows.assign(id=[f"{split}-{at}" for at in range(len(rows))], date=None)


def taught(config: Config, stream: Stream, out: Path) -> tuple[Path, np.ndarray]:
    """Learn one domain after the other; return the last version and R, up to it."""
    matrix = np.full((len(stream.domains), len(stream.domains)), np.nan)
    folder = out
    for at, domain in enumerate(stream.domains):
        folder, before = out / "teacher" / str(at), folder
        if not (folder / "scores.json").exists():
            champion, past = (before if at else None), stream.domains[:at]
            train(config, champion=champion, new=[domain], past=past, rows_of=stream.rows_of, folder=folder)
            scores = accuracies(load_learner(folder), stream, stream.domains[: at + 1])
            (folder / "scores.json").write_text(json.dumps(scores))
        matrix[at, : at + 1] = json.loads((folder / "scores.json").read_text())
    return folder, matrix


def accuracies(learner: Learner, stream: Stream, domains: list[str]) -> list[float]:
    """Return the accuracy on each domain's test rows."""
    rows = {one: stream.rows_of([one], "test") for one in domains}
    return [float(learner.task.row_scores(own, answer(learner, own).values).mean()) for own in rows.values()]


def derived(config: Config, stream: Stream, teacher: Path, out: Path) -> dict[str, Path]:
    """Return the folders of the teacher, of its student, and of both in int8 and in ONNX."""
    student = out / "student"
    if not (student / "made.json").exists():
        nothing = pd.DataFrame({"id": [], "text": []})
        made = distil(
            config,
            teacher=teacher,
            learnt=stream.domains,
            rows_of=stream.rows_of,
            unlabelled=nothing,
            folder=student,
        )
        (student / "made.json").write_text(made.model_dump_json())
    found = {"teacher": teacher, "student": student}
    for who, source in list(found.items()):
        found[f"{who}, int8"] = folder = out / f"{who}-int8"
        quantise(teacher=source, folder=folder)
        for form in ("onnx", "onnx-int8"):
            found[f"{who}, {form}"] = folder = out / f"{who}-{form}"
            wanted = {"learnt": stream.domains, "rows_of": stream.rows_of, "seed": config.seed}
            to_onnx(form, teacher=source, folder=folder, **wanted)
    return found


def together(learners: dict[str, Learner], rows: pd.DataFrame, *, calls: int) -> dict[str, float]:
    """Return rows a second where 32 are asked at once, in the median; all models in turn."""
    times: dict[str, list[float]] = {name: [] for name in learners}
    for call in range(calls + 1):
        some = rows.iloc[[(32 * call + at) % len(rows) for at in range(32)]]
        for name, learner in learners.items():
            started = time.perf_counter()
            predict(learner, some)
            times[name].append(time.perf_counter() - started)
    return {name: 32 / float(np.median(took[1:])) for name, took in times.items()}


def moved(learner: Learner, rows: pd.DataFrame) -> float:
    """Return how far a row's confidence differs, at most, between asked alone and asked with the others."""
    whole = predict(learner, rows)
    alone = [predict(learner, rows.iloc[[at]])[0] for at in range(len(rows))]
    return max(abs(one.confidence - other.confidence) for one, other in zip(whole, alone, strict=True))


def scored_once(name: str, learner: Learner, stream: Stream, out: Path) -> np.ndarray:
    """Return the accuracy on each domain's test rows, computed once for each FOLDER."""
    kept = out / "scores" / f"{name}.json"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(json.dumps(accuracies(learner, stream, stream.domains)))
    return np.array(json.loads(kept.read_text()))


def in_bfloat16(learner: Learner) -> Learner:
    """Return a learner as serving has it where bfloat16 is native: its weights cast once."""
    head = learner.head if learner.is_closed else copy.deepcopy(learner.head).to(torch.bfloat16)
    return replace(learner, encoder=copy.deepcopy(learner.encoder).to(torch.bfloat16), head=head)  # type: ignore[arg-type]


def parameters(learner: Learner) -> int:
    """Return how many numbers a version saves for its model, embeddings among them, scales of int8 rows left out."""
    saved = chain(learner.encoder.state_dict().items(), learner.head.state_dict().items())
    return sum(one.numel() for name, one in saved if not name.endswith(".scale"))


def megabytes(folder: Path) -> float:
    """Return the size of what answers, on disk: encoder, head and tokenizer."""
    places = (folder / "head.safetensors", *(folder / "encoder").rglob("*"), *(folder / "tokenizer").rglob("*"))
    return sum(path.stat().st_size for path in places) / 1e6


def main() -> None:
    """Make what is missing, and print the table."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("data", type=Path)
    given.add_argument("--out", type=Path, required=True)
    given.add_argument("--strategy", default="{name: ranpac, features: 5000}")
    given.add_argument("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE")
    given.add_argument("--calls", type=int, default=200)
    given.add_argument("--others", action="store_true")
    wanted = given.parse_args()
    raw: dict = {"strategy": yaml.safe_load(wanted.strategy), "training": {"epochs": 3}}
    for one in wanted.sets:
        key, _, value = one.partition("=")
        section, _, name = key.partition(".")
        raw.setdefault(section, {})[name] = yaml.safe_load(value)
    config, stream = parse(raw, where="bench"), Stream(wanted.data)
    wanted.out.mkdir(parents=True, exist_ok=True)
    with cached_in(wanted.out / "features.sqlite"):
        teacher, matrix = taught(config, stream, wanted.out)
        folders = derived(config, stream, teacher, wanted.out)
        learners = {name: load_learner(folder) for name, folder in folders.items()}
        scores = {name: scored_once(name, one, stream, wanted.out) for name, one in learners.items()}
    for who in ("teacher", "student"):
        more = {f"{who}, bfloat16": in_bfloat16(learners[who])}
        for other in AVAILABLE if wanted.others else []:
            graph, place = folders[f"{who}, onnx"] / "encoder", wanted.out / "others" / who
            more[f"{who}, {other}"] = quantised_by(other, learners[who], graph, place)
        scores |= {name: scored_once(name, one, stream, wanted.out) for name, one in more.items()}
        learners |= more
    test = stream.rows_of(stream.domains, "test").sample(frac=1, random_state=0)
    times = measure_latency(learners, test, calls=wanted.calls)
    at_once = together(learners, test, calls=max(1, wanted.calls // 10))
    best = np.nanmax(matrix[:-1, :-1], axis=0)
    first = scores["teacher"].mean(), parameters(learners["teacher"]), times["teacher"]["latency_p50_ms"]
    print(f"{'version':<28}accuracy    kept   params  share     MB  p50 ms  share  rows/s  forgets   mean  moves")
    for name, one in learners.items():
        p50 = times[name]["latency_p50_ms"]
        own, less, size = scores[name].mean(), best - scores[name][:-1], " " * 23
        if name in folders:
            count = parameters(one)
            size = f"{count / 1e6:>8.2f}M{100 * count / first[1]:>6.1f}%{megabytes(folders[name]):>7.1f}"
        quality = f"{100 * own:>7.2f}%{100 * own / first[0]:>7.2f}%"
        lost = f"{100 * less.max():>8.2f}%{100 * less.mean():>6.2f}%"
        alone = moved(one, test.head(256))
        fast = f"{p50:>8.2f}{100 * p50 / first[2]:>6.1f}%{at_once[name]:>8.0f}"
        print(f"{name:<28}{quality}{size}{fast}{lost}{alone:>8.4f}")


if __name__ == "__main__":
    main()
