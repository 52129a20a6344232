"""`cl serve` beside `mlflow models serve` on the same version, under promotions and rollbacks, and under attack.

    python bench/serving.py compare CLINC150 [--seconds 20] [--workers 1]
    python bench/serving.py soak CLINC150 [--minutes 30] [--promotions 20] [--rollbacks 5] [--versions 6]
    python bench/serving.py hostile CLINC150 [--seconds 10]
    python bench/serving.py siege CLINC150 [--seconds 60] [--workers 2]
    python bench/serving.py formats CLINC150
    python bench/serving.py throughput CLINC150 [--peer /tmp/litserve/bin/python]

A project on MiniLM learns two small batches of the data, so that two versions have passed their gates. compare starts
both servers, each with as many workers (mlflow with --env-manager local), and asks them in turn the same requests of
MLflow's protocol from another process (bench/load.py), 64 clients and then one; ours through /predict as well.
soak moves the champion through several versions under load, and says which requests failed, whether each answer came
from a version that was champion when it was asked or answered, how long answers took around a move, and the resident
memory of the server and its children over time. hostile says what four clients notice of one that means ill, siege what
they notice of many kinds at once (bench/serving_siege.py), and formats what each number format costs and gives.
throughput says how much of the encoder's own throughput reaches 64 clients, also with LitServe, which --peer names a
Python of (bench/peers/litserve.txt).
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
from pathlib import Path

import pandas as pd
import yaml
from serving_formats import formats
from serving_hostile import hostile
from serving_servers import BASE, THEIRS, measured, mlflows, ours, started
from serving_siege import siege
from serving_soak import soak
from serving_throughput import throughput

from cl.commands.init import scaffold
from cl.config import load
from cl.ingestion.file_formats import read_chunks
from cl.lifecycle import run_waiting
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import open_stores


def project_for(data: Path, folder: Path, rows: int) -> ProjectFolder:
    """Return a project with two promoted versions, beside whose cl.yaml lie texts that neither was trained on."""
    if (folder / "texts.json").exists():
        return ProjectFolder(folder.resolve())
    config = {
        "name": "bench",
        "strategy": "naive",
        "training": {"epochs": 1},
        "data": {"source": {"name": "files", "path": "inbox"}},
        "drift": {"detectors": ["new_labels"], "report": "off"},
        "gates": [{"name": "floor", "min": 0.0}],
    }
    project = scaffold(folder, yaml.safe_dump(config))
    (project.root / "inbox").mkdir()
    known = pd.concat(read_chunks(file_of(data, "train"), 50_000)).sample(frac=1, random_state=0)
    labels = sorted(known["label"].unique())
    for month, half in enumerate((labels[:75], labels[75:])):
        some = known[known["label"].isin(half)].head(rows)
        some.assign(id=[f"{month}-{at}" for at in range(len(some))]).to_csv(
            project.root / "inbox" / f"{month}.csv", index=False
        )
    verdicts = [cycle.verdict for cycle in run_waiting(project)]
    assert verdicts == ["promoted"] * 2, verdicts
    asked = pd.concat(read_chunks(file_of(data, "test"), 50_000))["text"].head(2_000).tolist()
    (project.root / "texts.json").write_text(json.dumps(asked))
    return project


def file_of(data: Path, split: str) -> Path:
    """Return the file of a split in a folder of data."""
    found = sorted(one for one in data.iterdir() if one.name.split(".")[0] == split)
    assert found, f"{data}: no file of the split {split}"
    return found[0]


def compare(project: ProjectFolder, texts: Path, seconds: float, workers: int, repeats: int) -> None:
    """Print a line for each way to ask, the medians of all repeats, and how the two servers compare."""
    ways = {
        "mlflow /invocations": f"{THEIRS}/invocations",
        "ours /invocations": f"{BASE}/invocations",
        "ours /predict": f"{BASE}/predict",
    }
    runs: dict[tuple[str, int], list[dict[str, float]]] = {}
    uri = project.resolve("sqlite:///mlflow/mlflow.db")
    with (
        started(mlflows(workers), f"{THEIRS}/ping", MLFLOW_TRACKING_URI=uri),
        started(ours(project, workers), f"{BASE}/readyz"),
    ):
        for url in ways.values():
            measured(url, texts, 8, 3)
        for _ in range(repeats):  # in turn, so that what else the machine does falls on all alike
            for clients in (64, 1):
                for way, url in ways.items():
                    runs.setdefault((way, clients), []).append(measured(url, texts, clients, seconds))
    found = {key: medians(some) for key, some in runs.items()}
    for (way, clients), one in found.items():
        print(f"{way:<20} {clients:>2} clients  {one}", flush=True)
    for way in list(ways)[1:]:
        for key in ("requests_per_second", "p95_ms"):
            ratio = found[way, 64][key] / found["mlflow /invocations", 64][key]
            print(f"{way}, 64 clients, {key}: {ratio:.2f} of mlflow's")
        ratio = found[way, 1]["p50_ms"] / found["mlflow /invocations", 1]["p50_ms"]
        print(f"{way}, 1 client, p50_ms: {ratio:.2f} of mlflow's")


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(statistics.median(one[key] for one in runs), 2) for key in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["compare", "soak", "hostile", "siege", "formats", "throughput"])
    parser.add_argument("data", type=Path, help="folder with a train and a test file, columns text and label")
    parser.add_argument("--rows", type=int, default=600, help="that each of the two versions learns")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement of compare, hostile and siege")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--promotions", type=int, default=20)
    parser.add_argument("--rollbacks", type=int, default=5)
    parser.add_argument("--versions", type=int, default=6, help="through which the champion moves")
    parser.add_argument("--peer", help="for throughput: the Python of an environment that has LitServe")
    parser.add_argument("--project", type=Path, help="where the project is kept, and used again; else it goes away")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the servers are stopped whatever ends this
    with tempfile.TemporaryDirectory() as folder:
        project = project_for(given.data, given.project or Path(folder) / "bench", given.rows)
        texts = project.root / "texts.json"
        if given.what == "compare":
            compare(project, texts, given.seconds, given.workers, given.repeats)
        elif given.what == "formats":
            folder = open_stores(project, load(project.config)).champion_folder("2")
            known = pd.concat(read_chunks(file_of(given.data, "train"), 50_000)).groupby("label").head(15)
            asked = pd.concat(read_chunks(file_of(given.data, "test"), 50_000)).sample(1_000, random_state=0)
            formats(folder, known, asked, given.repeats * 7)
        elif given.what == "throughput":
            throughput(project, texts, given.seconds, given.repeats, given.peer)
        elif given.what == "hostile":
            hostile(project, texts, given.seconds, given.workers)
        elif given.what == "siege":
            siege(project, given.seconds, given.workers)
        else:
            moves = ["promotion"] * given.promotions
            for at in range(given.rollbacks):
                moves.insert((at + 1) * len(moves) // (given.rollbacks + 1), "rollback")
            soak(project, texts, given.minutes, moves, given.versions, given.workers)


if __name__ == "__main__":
    main()
