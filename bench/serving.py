"""`cl serve` beside `mlflow models serve` on the same version, and under promotions and rollbacks.

    python bench/serving.py compare ../shared/data/clinc150 [--seconds 20] [--workers 1]
    python bench/serving.py soak ../shared/data/clinc150 [--minutes 30] [--promotions 20] [--rollbacks 5]

A project on MiniLM learns two small batches of the data, so that two versions have passed their gates. compare starts
both servers, each with as many workers (mlflow with --env-manager local), and asks them in turn the same requests of
MLflow's protocol from another process (bench/load.py), 64 clients and then one; ours through /predict as well.
soak moves the champion back and forth under load, and says which requests failed, whether each answer came from a
version that was champion when it was asked or answered, how long after a move the old one still answered, and the
resident memory of the server and its children over time.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pandas as pd
import yaml

from cl.formats import chunks_of
from cl.lifecycle import learn
from cl.promote import promote_by_hand, rollback
from cl.scaffold import scaffold
from cl.stores.connect import connect
from cl.stores.local import Project

HERE = Path(__file__).parent
PORT = 18_480
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "HF_HUB_OFFLINE": "1"}


def project_for(data: Path, folder: Path, rows: int) -> Project:
    """Return a project with two promoted versions, beside whose cl.yaml lie texts that neither was trained on."""
    if (folder / "texts.json").exists():
        return Project(folder.resolve())
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
    known = pd.concat(chunks_of(file_of(data, "train"), 50_000)).sample(frac=1, random_state=0)
    labels = sorted(known["label"].unique())
    for month, half in enumerate((labels[:75], labels[75:])):
        some = known[known["label"].isin(half)].head(rows)
        some.assign(id=[f"{month}-{at}" for at in range(len(some))]).to_csv(
            project.root / "inbox" / f"{month}.csv", index=False
        )
    verdicts = [cycle.verdict for cycle in learn(project)]
    assert verdicts == ["promoted"] * 2, verdicts
    asked = pd.concat(chunks_of(file_of(data, "test"), 50_000))["text"].head(2_000).tolist()
    (project.root / "texts.json").write_text(json.dumps(asked))
    return project


def file_of(data: Path, split: str) -> Path:
    """Return the file of a split in a folder of data."""
    found = sorted(one for one in data.iterdir() if one.name.split(".")[0] == split)
    assert found, f"{data}: no file of the split {split}"
    return found[0]


@contextmanager
def started(command: list[str], ready: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server, wait until it is ready, and stop it in the end."""
    with Path(tempfile.gettempdir(), "bench-serving.log").open("ab") as log:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where mlflow looks for its uvicorn
        environment = {**os.environ, **QUIET, **environment, "PATH": path}
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 180
        while not answers(ready):
            assert process.poll() is None and time.monotonic() < deadline, f"not ready; see {log.name}"
            time.sleep(0.5)
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def ours(project: Project, workers: int) -> list[str]:
    options = ["-p", str(project.root), "--port", str(PORT), "--workers", str(workers)]
    return [sys.executable, "-m", "cl.cli", "serve", *options]


def mlflows(workers: int) -> list[str]:
    options = ["--env-manager", "local", "-p", str(PORT + 1), "--workers", str(workers)]
    return [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/bench@champion", *options]


def loading(url: str, texts: Path, clients: int, seconds: float, *more: str) -> list[str]:
    """Return the command of the load generator."""
    options = ["--texts", str(texts), "--clients", str(clients), "--seconds", str(seconds), *more]
    return [sys.executable, str(HERE / "load.py"), url, *options]


def measured(url: str, texts: Path, clients: int, seconds: float) -> dict[str, float]:
    done = subprocess.run(loading(url, texts, clients, seconds), check=True, capture_output=True)
    return json.loads(done.stdout)


def compare(project: Project, texts: Path, seconds: float, workers: int, repeats: int) -> None:
    """Print a line for each way to ask, the medians of all repeats, and how the two servers compare."""
    base, theirs = f"http://127.0.0.1:{PORT}", f"http://127.0.0.1:{PORT + 1}"
    ways = {
        "mlflow /invocations": f"{theirs}/invocations",
        "ours /invocations": f"{base}/invocations",
        "ours /predict": f"{base}/predict",
    }
    runs: dict[tuple[str, int], list[dict[str, float]]] = {}
    uri = project.resolve("sqlite:///mlflow/mlflow.db")
    with (
        started(mlflows(workers), f"{theirs}/ping", MLFLOW_TRACKING_URI=uri),
        started(ours(project, workers), f"{base}/readyz"),
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


def soak(project: Project, texts: Path, minutes: float, moves: list[str], workers: int) -> None:
    """Move the champion under load and print what the clients and the memory saw."""
    stores = connect(project, yaml_config(project))
    lines, memory, seconds = project.root / "answers.txt", [], minutes * 60
    with started(ours(project, workers), f"http://127.0.0.1:{PORT}/readyz") as server:
        began = time.time()
        champions = [(0.0, str(stores.ledger.champion("bench")))]
        load = subprocess.Popen(
            loading(f"http://127.0.0.1:{PORT}/predict", texts, 64, seconds, "--answers", str(lines)),
            stdout=subprocess.PIPE,
        )
        for number, move in enumerate(moves, 1):
            wait_and_watch(began + seconds * number / (len(moves) + 1), server.pid, memory)
            champions.append(moved(project, stores, move))
        wait_and_watch(began + seconds, server.pid, memory)
        told = json.loads(load.communicate()[0])
    print(f"load: {told}")
    report(lines, champions)
    tail = memory[len(memory) // 10 :]
    thirds = [tail[at * len(tail) // 3 : (at + 1) * len(tail) // 3] for at in range(3)]
    means = [round(sum(one) / len(one)) for one in thirds]
    print(f"resident memory in MB, mean of each third after the first tenth: {means}; most: {round(max(memory))}")


def moved(project: Project, stores, move: str) -> tuple[float, str]:
    """Move the champion to the other version; return when the alias had moved, and to which."""
    champion = str(stores.ledger.champion("bench"))
    other = "2" if champion == "1" else "1"
    with project.lock(30):
        if move == "rollback":
            rollback(stores.registry, stores.ledger, other, why="soak")
        else:
            promote_by_hand(stores.registry, stores.ledger, other, why="soak", despite_gates=True)
    assert stores.ledger.champion("bench") == other, f"the {move} to version {other} was refused"
    return time.time(), other


def report(lines: Path, champions: list[tuple[float, str]]) -> None:
    """Print whether each answer's version was champion when it was asked or answered, and if not, for how long not."""
    rows = [line.split() for line in lines.read_text().splitlines()]
    good = [(float(asked), float(done), one[0]) for asked, done, status, *one in rows if status == "200"]
    late: list[float] = []
    for asked, done, version in good:
        at = max(number for number, (when, _) in enumerate(champions) if when <= done)
        first = max(number for number, (when, _) in enumerate(champions) if when <= asked)
        if version in {name for _, name in champions[first : at + 1]}:
            continue
        late.append(asked - champions[first][0])
    print(f"answers: {len(good)}, from a version that was champion when asked or answered: {len(good) - len(late)}")
    print(f"from the one before, asked after the move: {len(late)}, at most {max(late, default=0.0):.2f} s after it")


def wait_and_watch(until: float, pid: int, memory: list[float]) -> None:
    while time.time() < until:
        memory.append(resident(pid))
        time.sleep(min(2.0, max(0.0, until - time.time())))


def resident(pid: int) -> float:
    """Return the resident megabytes of a process and all its descendants."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(fields["Pid"])] = (int(fields["PPid"]), float(fields.get("VmRSS", "0 kB").split()[0]) / 1000)
    family, total = {pid}, 0.0
    while more := {one for one, (parent, _) in parents.items() if parent in family} - family:
        family |= more
    for one in family & parents.keys():
        total += parents[one][1]
    return total


def yaml_config(project: Project):
    from cl import config

    return config.load(project.config)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["compare", "soak"])
    parser.add_argument("data", type=Path, help="folder with a train and a test file, columns text and label")
    parser.add_argument("--rows", type=int, default=600, help="that each of the two versions learns")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--promotions", type=int, default=20)
    parser.add_argument("--rollbacks", type=int, default=5)
    parser.add_argument("--project", type=Path, help="where the project is kept, and used again; else it goes away")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the servers are stopped whatever ends this
    with tempfile.TemporaryDirectory() as folder:
        project = project_for(given.data, given.project or Path(folder) / "bench", given.rows)
        texts = project.root / "texts.json"
        if given.what == "compare":
            compare(project, texts, given.seconds, given.workers, given.repeats)
        else:
            moves = ["promotion"] * given.promotions
            for at in range(given.rollbacks):
                moves.insert((at + 1) * len(moves) // (given.rollbacks + 1), "rollback")
            soak(project, texts, given.minutes, moves, given.workers)


if __name__ == "__main__":
    main()
