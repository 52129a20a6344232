"""What a closed form costs: an update of ten rows, and a large first fit, compared with the encoder's own pass.

    python bench/closed_forms.py CLINC150 [--known 8000] [--validation 0 1500] [--repeats 3]

The folder holds train.jsonl.gz with text and label. A first version learns --known rows; then ten more rows are learned
from it by `cl.training.train.train`, within a cache of features as in a cycle. The first fit is compared with a plain
loop over the same rows: the same encoder with weights in bfloat16, sorted by length, batches of 64. All is in CPU
seconds (user and system) on one thread; each update is the median of --repeats; the peak is that of the process.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import importlib
import json
import resource
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch

from cl.config import Config, parse
from cl.models.build import grow_labels, new_learner
from cl.models.feature_cache import cached_in
from cl.models.frozen_features import frozen_features
from cl.training.train import train

STAGES = {
    "load": ["cl.training.train.load_learner", "cl.training.train.load_states"],
    "features": ["cl.models.frozen_features.frozen_features"],
    "sums": ["cl.training.strategies._closed_form._add_rows"],
    "solve": ["cl.training.strategies.ranpac.RanPAC.best"],
    "validate": ["cl.training.loop._validate", "cl.training.loop._left_out_logits"],
    "save": ["cl.training.train.save_version"],
}
"""Stage -> the functions that are timed as it; what they call of another stage counts there."""
NEW_ROWS = 10


def cpu() -> float:
    """Return the CPU seconds that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak() -> float:
    """Return the largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024


@contextlib.contextmanager
def stages() -> Iterator[dict[str, float]]:
    """Time the stages of what runs in this block."""
    spent, running = dict.fromkeys(STAGES, 0.0), [cpu(), "other"]
    spent["other"] = 0.0

    def enter(stage: str) -> str:
        now, before = cpu(), str(running[1])
        spent[before] += now - float(running[0])
        running[:] = [now, stage]
        return before

    def timed(function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            before = enter(stage)
            try:
                return function(*args, **kwargs)
            finally:
                enter(before)

        return run

    with contextlib.ExitStack() as stack:
        for stage, names in STAGES.items():
            for name in names:
                place, _, attribute = name.rpartition(".")
                try:
                    owner = importlib.import_module(place)
                except ModuleNotFoundError:
                    module, _, kind = place.rpartition(".")
                    owner = getattr(importlib.import_module(module), kind)
                stack.enter_context(mock.patch.object(owner, attribute, timed(getattr(owner, attribute), stage)))
        yield spent
        enter("other")


def read_rows(folder: Path, classes: int) -> pd.DataFrame:
    """Return the training rows of the first classes by name, shuffled; repeated with a number if more are wanted."""
    with gzip.open(folder / "train.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = pd.DataFrame([json.loads(line) for line in file])[["text", "label"]]
    names = sorted(rows["label"].unique())
    rows = rows.assign(label=rows["label"].map({name: names[index % classes] for index, name in enumerate(names)}))
    rows = rows.sample(frac=1, random_state=0).reset_index(drop=True)
    return rows.assign(id=[f"r{row}" for row in range(len(rows))], date=None)


def update(config: Config, rows: pd.DataFrame, known: int, validation: int, repeats: int, folder: Path) -> None:
    """Learn rows and then ten more, and print what the ten cost."""
    parts = {
        ("old", "train"): rows.iloc[:known],
        ("old", "validation"): rows.iloc[known : known + validation],
        ("new", "train"): rows.iloc[known + validation :][: NEW_ROWS - (2 if validation else 0)],
        ("new", "validation"): rows.iloc[known + validation + NEW_ROWS :][: 2 if validation else 0],
    }

    def rows_of(ids: list[str], split: str) -> pd.DataFrame:
        chosen = [parts[id, split] for id in ids]
        return pd.concat(chosen, ignore_index=True) if chosen else rows.iloc[:0]

    first = folder / f"first-{known}-{validation}"
    with cached_in(folder / "features.sqlite"):
        with stages() as spent:
            train(config, champion=None, new=["old"], past=[], rows_of=rows_of, folder=first)
        show(f"first {known} + {validation}", [spent])
        several = []
        for repeat in range(repeats + 1):
            with stages() as spent:
                train(config, champion=first, new=["new"], past=["old"], rows_of=rows_of, folder=folder / "second")
            several += [spent] if repeat else []
    show(f"{NEW_ROWS} more", several)


def show(title: str, several: list[dict[str, float]]) -> None:
    """Print the medians of the stages, their sum, and the peak."""
    medians = {stage: statistics.median(spent[stage] for spent in several) for stage in several[0]}
    total = statistics.median(sum(spent.values()) for spent in several)
    print(f"{title:<18}" + "".join(f"{value:>10.2f}" for value in (*medians.values(), total)) + f"{peak():>10.0f}")


def first_fit(config: Config, rows: pd.DataFrame, folder: Path) -> None:
    """Learn all rows at once, and print the cost, and that of a plain loop of the encoder in bfloat16."""
    learner = grow_labels(new_learner(config), sorted(rows["label"].unique()), seed=0)

    def plain() -> float:
        encoder, pad = new_learner(config).encoder.to(torch.bfloat16), learner.tokenizer.pad  # type: ignore[arg-type]
        tokens = sorted(learner.tokenizer(list(rows["text"]), truncation=True)["input_ids"], key=len)
        batches = [pad({"input_ids": tokens[at : at + 64]}, return_tensors="pt") for at in range(0, len(tokens), 64)]
        begun = cpu()
        with torch.inference_mode():
            for batch in batches:
                encoder(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        return cpu() - begun

    encoder = plain()
    begun = cpu()
    frozen_features(learner, config.built_strategies[0].new_head(learner.width, 3), rows)  # type: ignore[attr-defined]
    features = cpu() - begun
    begun = cpu()
    train(
        config,
        champion=None,
        new=["all"],
        past=[],
        rows_of=lambda ids, split: rows if ids and split == "train" else rows.iloc[:0],
        folder=folder / "all",
    )
    whole = cpu() - begun
    each = 1_000 / len(rows)
    print(
        f"{len(rows)} rows, ms a row: plain loop {encoder * each:.3f}, features {features * each:.3f} "
        f"({features / encoder:.2f}), stage train {whole * each:.3f} ({whole / encoder:.2f}); peak {peak():.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--known", type=int, nargs="*", default=[8_000])
    parser.add_argument("--validation", type=int, nargs="*", default=[0, 1_500])
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--first", type=int, default=8_000, help="rows of the large first fit; 0: none")
    given = parser.parse_args()
    torch.set_num_threads(1)
    config, rows = parse({"strategy": "ranpac"}, where="bench"), read_rows(given.folder, given.classes)
    np.random.seed(0)
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'CPU s':<18}" + "".join(f"{name:>10}" for name in (*STAGES, "other", "total", "peak MB")))
        for known in given.known:
            for validation in given.validation:
                update(config, rows, known, validation, given.repeats, Path(folder))
        if given.first:
            first_fit(config, rows.iloc[: given.first], Path(folder))


if __name__ == "__main__":
    main()
