"""What a cycle with defaults costs beyond its training, and what Prefect adds: fresh processes, one after the other.

    python bench/cycle_cost.py [--rounds 3] [--keep FOLDER]

A tiny BERT with random weights learns 60 rows of two labels, all settings but the model at their defaults. A second
cycle follows with 60 more rows: of the same labels, or of two new ones, which raises an alarm and so lets Evidently
write its report. CPU seconds are those of `cl run --plain` and of all that it started, by stage. Then `cl run` with
its temporary server and `cl run --plain` take the same second cycle in turn; the server's database is there already,
but for the first time, which is measured by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LABELS = {"first": ["loan", "fee"], "second": ["loan", "fee"], "second, with an alarm": ["card", "parcel"]}
WORDS = ["my", "card", "is", "lost", "where", "the", "parcel", "order", "money", "loan", "fee", "please", "help", "new"]
REFUSED = 3
"""The exit code of a cycle whose version a gate has refused."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "true"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="Keep the projects in this folder.")
    parser.add_argument("--measured", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measured:
        run_measured(given.measured)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch)
        make_projects(folder)
        show_stages(folder, given.rounds)
        compare_with_prefect(folder, given.rounds)


def show_stages(folder: Path, rounds: int) -> None:
    """Print the CPU and wall seconds of each cycle by stage, each the median of all rounds."""
    for name in LABELS:
        runs = [measured(fresh(folder / name)) for _ in range(rounds)]
        print(f"\n{name} cycle, `cl run --plain`, median of {rounds}")
        print(f"{'stage':<26}{'CPU s':>8}{'wall s':>8}")
        for stage in dict.fromkeys(stage for run in runs for stage in run["stages"]):
            both = [run["stages"].get(stage, (0.0, 0.0)) for run in runs]
            print(f"{stage:<26}{median(cpu for cpu, _ in both):8.2f}{median(wall for _, wall in both):8.2f}")
        training = [run["stages"].get("train", (0.0, 0.0))[0] for run in runs]
        print(
            f"{'whole command':<26}{median(run['cpu'] for run in runs):8.2f}{median(run['wall'] for run in runs):8.2f}"
        )
        beyond = [run["cpu"] - train for run, train in zip(runs, training, strict=True)]
        print(f"{'beyond training':<26}{median(beyond):8.2f}")


def compare_with_prefect(folder: Path, rounds: int) -> None:
    """Print what `cl run` takes beside `cl run --plain`, in turn, for the same second cycle."""
    cl = [sys.executable, "-m", "cl.cli", "run"]
    home = {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_API_URL": ""}
    first = timed([*cl, "-p", str(fresh(folder / "second"))], **home)
    seen: dict[str, list[dict[str, float]]] = {"cl run --plain": [], "cl run": []}
    for _ in range(rounds):
        for name, runs in seen.items():
            runs.append(timed([*cl, *name.split()[2:], "-p", str(fresh(folder / "second"))], **home))
    print(f"\nsecond cycle, in turn, median of {rounds}\n{'command':<26}{'CPU s':>8}{'wall s':>8}")
    print(f"{'cl run, first ever':<26}{first['cpu']:8.2f}{first['wall']:8.2f}")
    for name, runs in seen.items():
        print(f"{name:<26}{median(run['cpu'] for run in runs):8.2f}{median(run['wall'] for run in runs):8.2f}")
    for kind in ("cpu", "wall"):
        pairs = zip(seen["cl run"], seen["cl run --plain"], strict=True)
        print(f"cl run over --plain, {kind}: {median(flow[kind] - plain[kind] for flow, plain in pairs):.2f} s")


def make_projects(folder: Path) -> None:
    """Make a project before its first cycle, and two before their second."""
    code = "import sys; from bench.cycle_cost import make_model; make_model(sys.argv[1])"
    here = str(Path(__file__).parents[1])
    subprocess.run([sys.executable, "-c", code, str(folder / "tiny")], check=True, cwd=here, env=environment())
    first = folder / "first"
    command("init", str(first))
    (first / "cl.yaml").write_text(f"name: first\nmodel:\n  name: {folder / 'tiny'}\n")
    command("ingest", str(write_rows(folder, "first")), "-p", str(first))
    learnt = fresh(first)
    command("run", "--plain", "-p", str(learnt))
    for name in list(LABELS)[1:]:
        project = shutil.copytree(learnt, folder / name, symlinks=True)
        command("ingest", str(write_rows(folder, name)), "-p", str(project))


def make_model(folder: str) -> None:
    """Save a two-layer BERT with random weights, and its tokenizer."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast  # type: ignore[attr-defined]

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=128, **size)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    BertTokenizerFast(vocab={word: at for at, word in enumerate(vocabulary)}).save_pretrained(folder)


def write_rows(folder: Path, name: str) -> Path:
    """Write 60 rows, each of which names its label."""
    draw, file = random.Random(name), folder / f"{name.replace(', ', '-').replace(' ', '-')}.csv"
    labels = [LABELS[name][row % 2] for row in range(60)]
    rows = [f"{name[:6]}{row},{' '.join(draw.choices(WORDS, k=6))} {label},{label}" for row, label in enumerate(labels)]
    file.write_text("\n".join(["id,text,label", *rows]))
    return file


def fresh(project: Path) -> Path:
    """Return a copy of a project, in place of the last one."""
    copy = project.with_name("run")
    shutil.rmtree(copy, ignore_errors=True)
    return Path(shutil.copytree(project, copy, symlinks=True))


def measured(project: Path) -> dict[str, Any]:
    """Run a project's cycle in a fresh process and return its seconds, in all and by stage."""
    output = project.with_name("stages.json")
    run = timed([sys.executable, __file__, "--measured", str(output), str(project)])
    return {**run, "stages": json.loads(output.read_text())}


def command(*words: str) -> None:
    """Run a command that must succeed."""
    subprocess.run([sys.executable, "-m", "cl.cli", *words], check=True, capture_output=True, env=environment())


def timed(words: list[str], **variables: str) -> dict[str, float]:
    """Run a command and return its CPU seconds, those of its children included, and its wall seconds."""
    clock = time.monotonic()
    with tempfile.TemporaryFile() as complaint:
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=complaint, env=environment() | variables)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        complaint.seek(0)
        if process.returncode not in (0, REFUSED):
            raise SystemExit(complaint.read().decode())
    return {"cpu": usage.ru_utime + usage.ru_stime, "wall": time.monotonic() - clock}


def environment() -> dict[str, str]:
    """Return the variables of a command: one thread, and this tree's code."""
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    return {**os.environ, **ONE_THREAD, "PYTHONPATH": path}


def run_measured(given: list[str]) -> None:
    """Run `cl run --plain` in this process and write the seconds of its outermost stages."""
    begun = time.monotonic()
    from cl.cli.main import cl
    from cl.process.progress import Stage, reporting

    class Seconds:
        shows_amounts = False

        def __init__(self) -> None:
            self.open: list[tuple[Stage, float]] = []
            self.stages: dict[str, tuple[float, float]] = {}

        def begin(self, stage: Stage) -> None:
            self.open.append((stage, cpu_seconds()))

        def end(self, stage: Stage, *, failed: bool) -> None:
            _, before = self.open.pop()
            if not self.open:
                cpu, wall = self.stages.get(stage.name, (0.0, 0.0))
                self.stages[stage.name] = (cpu + cpu_seconds() - before, wall + stage.seconds)

        def close(self) -> None:
            pass

    output, project = given
    seconds = Seconds()
    with reporting(seconds), contextlib.suppress(SystemExit):  # a gate may have refused the version
        cl.main(["--quiet", "run", "--plain", "-p", project], standalone_mode=False)
    total = (cpu_seconds(), time.monotonic() - begun)
    known = [sum(part) for part in zip(*seconds.stages.values(), strict=True)]
    outside = (total[0] - known[0], total[1] - known[1])
    Path(output).write_text(json.dumps({**seconds.stages, "outside the stages": outside}))


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


if __name__ == "__main__":
    main()
