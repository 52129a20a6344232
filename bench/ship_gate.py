"""How often a gate calls an equal challenger better or worse: the default gates beside Soup's `soup ship`.

    python bench/ship_gate.py translation TICO19 --python SOUP/bin/python [--rows 60] [--pairs 50]

The stream is one of bench/language_models.py, with two experiences or more. The base writes two answers to each test
row, drawn with a temperature of 0.7. A pair of equal models is made of rows drawn with replacement, whose two answers
change sides at random: champion and challenger differ by chance alone. For pairs that are not equal, the challenger's
score of the old experiences is lowered: in a share of its rows, to 0.

Soup's task is the newest experience, its benchmarks are the old ones, its threshold is its default, 5 points. The
default gates are those of a project whose answers are written, but for that on faulty answers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.update(TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")

import numpy as np
import pandas as pd
import torch
from language_models import STREAMS, make_stream, rows_of
from side_by_side import Stream

from cl.config import parse
from cl.gating.gate import judge
from cl.models.build import new_learner
from cl.models.language_learner import LanguageLearner
from cl.records import Evaluation, Score

TEMPERATURE = 0.7
GATES = [{"name": "no_regression", "margin": 0.02}, {"name": "forgetting", "max": 0.05}]
LOSSES = (0.0, 0.03, 0.06, 0.12)
Scores = dict[str, np.ndarray]
"""Row scores (rows, 2) of each experience."""


def draw_scores(learner: LanguageLearner, stream: Stream) -> Scores:
    """Return the scores of two answers to each test row."""
    scores = {}
    for name in stream:
        rows = rows_of(stream, [name], "test")
        sides = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            values = [_draw(learner, row.context.prompt) for row in learner.encode(rows)]
            sides.append(learner.task.row_scores(rows, values))
        scores[name] = np.stack([np.asarray(side, dtype=float) for side in sides], axis=1)
    return scores


def _draw(learner: LanguageLearner, prompt: list[int]) -> str:
    ids = torch.tensor([prompt])
    out = learner.encoder.generate(  # type: ignore[operator]
        input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=True, temperature=TEMPERATURE, top_k=0,
        max_new_tokens=learner.task.most_new_tokens, pad_token_id=learner.tokenizer.pad_token_id, use_cache=True,
    )  # fmt: skip
    return str(learner.tokenizer.decode(out[0, len(prompt) :], skip_special_tokens=True)).strip()


def make_pair(scores: Scores, lost: float, rng: np.random.Generator) -> Scores:
    """Return row scores (champion, challenger) of equal models, the challenger's lowered on all old experiences."""
    pair = {}
    for name, sides in scores.items():
        drawn = sides[rng.integers(len(sides), size=len(sides))].copy()
        swapped = rng.random(len(drawn)) < 0.5
        drawn[swapped] = drawn[swapped][:, ::-1]
        if lost and name != list(scores)[-1]:
            failed = rng.random(len(drawn)) < lost / max(1e-9, float(drawn[:, 1].mean()))
            drawn[failed, 1] = 0.0
        pair[name] = drawn
    return pair


def judge_here(pair: Scores, seed: int) -> str:
    """Return whether the default gates pass, refuse or leave undecided."""
    config = parse({"task": "text_generation", "gates": GATES, "seed": seed}, where="bench")
    now, before = ({name: float(sides[:, side].mean()) for name, sides in pair.items()} for side in (1, 0))
    old = list(pair)[:-1]
    evaluation = Evaluation(
        metric="chrf",
        challenger=[Score(experience=name, rows=len(pair[name]), value=value) for name, value in now.items()],
        accuracy=sum(now.values()) / len(now),
        newest=list(pair)[-1],
        updates=len(pair),
        forgetting={name: before[name] - now[name] for name in old},
        calibration_error=None,
        latency_ms=None,
        size_mb=1.0,
        predictions="",
    )
    parts = [
        pd.DataFrame(
            {
                "experience": name,
                "challenger_score": sides[:, 1],
                "champion_score": sides[:, 0],
                "best_score": sides[:, 0] if name in old else np.nan,
            }
        )
        for name, sides in pair.items()
    ]
    report = judge(config, evaluation, pd.concat(parts, ignore_index=True))
    if not report.passed:
        return "refuses"
    return "undecided" if any(verdict.undecided for verdict in report.verdicts) else "passes"


def judge_by_soup(pairs: list[Scores], python: str) -> list[str]:
    """Return Soup's decision on each pair, with the rule that failed."""
    asked: list[dict[str, Any]] = []
    for pair in pairs:
        means = {name: sides.mean(axis=0).tolist() for name, sides in pair.items()}
        newest = list(pair)[-1]
        asked.append({"task": means[newest], "benchmarks": {name: means[name] for name in pair if name != newest}})
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "pairs.json"
        file.write_text(json.dumps(asked), encoding="utf-8")
        side = Path(__file__).parent / "peers" / "soup_ship_side.py"
        done = subprocess.run([python, str(side), str(file)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"Soup failed: {done.stderr[-2000:]}")
    verdicts = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [verdict["failed"] or "ships" for verdict in verdicts]


def main() -> None:
    """Print how often each decides how."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=STREAMS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=60, help="test rows of an experience")
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--python", default="python", help="of the environment with Soup")
    given = parser.parse_args()
    described = STREAMS[given.what]
    model = {"name": given.model, "max_length": described["max_length"]}
    config = parse({"task": {"name": "text_generation", **described["task"]}, "model": model}, where="bench")
    learner = new_learner(config)
    assert isinstance(learner, LanguageLearner)
    learner.eval_mode()
    stream = make_stream(given.what, given.folder, {"train": 0, "test": given.rows}, seed=0)
    scores = draw_scores(learner, stream)
    print({name: np.round(100 * sides.mean(axis=0), 1).tolist() for name, sides in scores.items()})
    for lost in LOSSES:
        rng = np.random.default_rng(0)
        pairs = [make_pair(scores, lost, rng) for _ in range(given.pairs)]
        here = Counter(judge_here(pair, seed) for seed, pair in enumerate(pairs))
        soup = Counter(judge_by_soup(pairs, given.python))
        print(f"lost {100 * lost:4.1f} points of the old: default gates {dict(here)}; Soup {dict(soup)}", flush=True)


if __name__ == "__main__":
    main()
