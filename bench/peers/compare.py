"""The same stream, encoder, order, epochs, rates and buffer through Perennial and through Avalanche, side by side.

    python -m venv /tmp/peers && /tmp/peers/bin/pip install -r bench/peers/requirements.txt
    python bench/peers/compare.py examples/clinc150/cl.yaml --data CLINC150 --peer AVALANCHE/bin/python

Perennial runs as `cl backtest` does, so that its seconds hold tokenisation, loading and saving. The peer is given the
token ids, saves nothing, pads each batch to its longest row, and has the same pooling, head, frozen embeddings,
optimiser groups and schedule. Neither has validation rows. The peer's own defaults stay otherwise: float32, one
criterion, one mini-batch of new and one of remembered rows. Rows a second count every row that was trained on.

A strength of EWC is not the same on both sides, for the peer squares the mean gradient of a mini-batch. Each side has
the strength that was best for it with one seed: of 2e5, 1e6, 5e6, 2e7, 6e7 and 2e8 ours (ACC 87.0, 90.9, 91.9, 92.9,
93.9, 85.1 %), of 2e5, 1e6, 4e6 and 2e7 the peer's (89.3, 92.8, 93.8, 63.7 %).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from cl import config as configuration
from cl.backtesting.backtest import BacktestPlan, backtest
from cl.backtesting.results import Result
from cl.backtesting.stream import read_stream
from cl.config import Config
from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.models.pretrained import without_warnings

OURS = {
    "replay": "replay={{name: replay, rows: 1500, ratio: 1, buffer: class_balanced}}",
    "ewc": "ewc={{name: ewc, fisher: empirical, decay: 1.0, fisher_rows: 1500, strength: {strength}}}",
}


NO_VALIDATION = {"data.only": "t*.jsonl.gz"}
"""CLINC150's files train and test: the peer's loop has no use for the third."""


def export(config: Config, data: Path, folder: Path, first: int | None, strength: float) -> None:
    """Write the stream as token ids, the encoder, and which of its parameters move."""
    experiences, found = read_stream(config, data, folder / "streams")
    ids = [one.id for one in found][:first]
    rows = [{split: experiences.rows_of([one], split) for split in ("train", "test")} for one in ids]
    learner = new_learner(config)
    for one in rows:
        learner = grow_labels(learner, learner.task.labels(one["train"]), seed=config.seed)
    freeze_all_but_tuned(learner)
    with without_warnings():
        learner.encoder.save_pretrained(folder / "encoder")
    stream = [
        {split: [[row.input_ids, row.targets[0]] for row in learner.encode(part)] for split, part in one.items()}
        for one in rows
    ]
    settings = {
        **config.training.model_dump(),
        "seed": config.seed,
        "dropout": config.model.dropout,
        "labels": len(learner.labels),
        "pad": learner.tokenizer.pad_token_id,
        "moving": [name for name, one in learner.encoder.named_parameters() if one.requires_grad],
        "memory": 1500,
        # Avalanche squares the gradient of a mini-batch's mean, which is smaller by the size of the batch
        "ewc_lambda": strength / 2 * config.training.batch_size,
    }
    (folder / "stream.json").write_text(json.dumps({"settings": settings, "experiences": stream}))


def of_ours(result: Result) -> dict[str, float]:
    if not result.seeds:
        raise SystemExit(f"{result.name} stopped: {'; '.join(result.failures.values())}")
    assert result.acc is not None and result.forgetting is not None and result.rows_trained and result.seconds
    return {
        "acc": 100 * result.acc,
        "forgetting": 100 * result.forgetting,
        "rows/s": result.rows_trained / result.seconds,
        "seconds": result.seconds,
    }


def of_peer(python: str, strategy: str, folder: Path) -> dict[str, Any]:
    script = str(Path(__file__).with_name("avalanche_side.py"))
    done = subprocess.run([python, script, strategy, str(folder)], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peer", required=True, help="python of the environment that has Avalanche")
    parser.add_argument("--strategy", action="append", choices=sorted(OURS), help="default: all")
    parser.add_argument("--first", type=int, help="experiences; default: all")
    parser.add_argument("--strength", type=float, default=6e7, help="of our EWC")
    parser.add_argument("--peer-strength", type=float, default=4e6, help="of the peer's EWC, in our measure")
    parser.add_argument("--seed", action="append", type=int, help="default: the configuration's")
    given = parser.parse_args()
    config = configuration.load(given.config, NO_VALIDATION)
    print(f"{'':22}{'seed':>6}{'ACC %':>8}{'forgetting':>12}{'rows/s':>9}{'seconds':>9}")
    for strategy in given.strategy or sorted(OURS):
        for seed in given.seed or [config.seed]:
            compare(config.model_copy(update={"seed": seed}), strategy, given)


def compare(config: Config, strategy: str, given: argparse.Namespace) -> None:
    """Print a line for each side: one after the other, so that both have the machine to themselves."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export(config, given.data, folder, given.first, given.peer_strength)
        (ours,) = backtest(
            config,
            given.data,
            BacktestPlan(
                strategies=[OURS[strategy].format(strength=given.strength)],
                policies=["always"],
                seeds=[config.seed],
                first=given.first,
                baselines=False,
            ),
            out=folder,
            jobs=1,
        )
        for side, found in (("perennial", of_ours(ours)), ("avalanche", of_peer(given.peer, strategy, folder))):
            print(
                f"{side + ' ' + strategy:22}{config.seed:6}{found['acc']:8.2f}{found['forgetting']:12.2f}"
                f"{found['rows/s']:9.0f}{found['seconds']:9.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
