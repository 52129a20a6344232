"""How much of the encoder's own throughput reaches 64 clients, with Perennial and with LitServe, on the same cores.

Servers run on the first core with one thread, the load generator on the others. The encoder's own throughput is that of
the same version on that core: tokenised texts, sorted by length, in batches of 64.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from serving_servers import BASE, HERE, PORT, loading, ours, started

from cl.config import load
from cl.models.precision import native_bfloat16
from cl.serving.served_model import load_served_model
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import open_stores

CLIENTS = 64
PEER = f"http://127.0.0.1:{PORT + 2}"
"""Where LitServe listens."""


def throughput(project: ProjectFolder, texts: Path, seconds: float, repeats: int, peer: str | None) -> None:
    """Print requests a second of each way, and their ratios, all measured in turn."""
    folder = open_stores(project, load(project.config)).champion_folder("2")
    assert folder is not None
    ways = {"ours": (ours(project, 1), f"{BASE}/predict", f"{BASE}/readyz")}
    if peer:
        exported = project.root / "peer"
        export(folder, exported)
        side = str(HERE / "peers" / "litserve_side.py")
        command = [peer, side, str(exported), str(PORT + 2), str(CLIENTS), "0.002"]
        ways["LitServe"] = (command, f"{PEER}/predict", f"{PEER}/health")
    rates: dict[str, list[float]] = {"encoder alone": []}
    for _ in range(repeats):
        rates["encoder alone"].append(alone(folder, texts))
        for name, (command, url, ready) in ways.items():
            with started(["taskset", "-c", "0", *command], ready, OMP_NUM_THREADS="1"):
                load_from_other_cores(url, texts, 4)
                rates.setdefault(name, []).append(load_from_other_cores(url, texts, seconds))
    middle = {name: statistics.median(measured) for name, measured in rates.items()}
    for name, measured in rates.items():
        shown = ", ".join(f"{rate:.0f}" for rate in measured)
        print(f"{name:<14} {middle[name]:7.1f} texts/s ({shown}), {middle[name] / middle['encoder alone']:.2f} of it")
    if peer:
        print(f"ours beside LitServe: {middle['ours'] / middle['LitServe']:.2f}")


def load_from_other_cores(url: str, texts: Path, seconds: float) -> float:
    """Return the requests a second that all clients together were answered."""
    others = ",".join(str(core) for core in sorted(os.sched_getaffinity(0)) if core) or "0"
    command = ["taskset", "-c", others, *loading(url, texts, CLIENTS, seconds)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert not found["failed"], found
    return float(found["requests_per_second"])


def alone(folder: Path, texts: Path) -> float:
    """Return the texts a second of the encoder by itself on the first core."""
    command = ["taskset", "-c", "0", sys.executable, __file__, str(folder), str(texts)]
    done = subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return float(done.stdout)


def export(folder: Path, target: Path) -> None:
    """Write a version's encoder, tokenizer and head in the forms that transformers alone can read."""
    learner = load_served_model("2", folder, "float32").learner
    learner.encoder.save_pretrained(target / "encoder")
    learner.tokenizer.save_pretrained(target / "tokenizer")
    blocks = list(learner.head.blocks)
    head = {name: torch.cat([getattr(block, name).data for block in blocks]) for name in ("weight", "bias")}
    save_file(head, target / "head.safetensors")
    dtype = "bfloat16" if native_bfloat16(torch.device("cpu")) else "float32"
    settings = {"labels": learner.labels, "max_length": learner.settings.max_length, "dtype": dtype}
    (target / "labels.json").write_text(json.dumps(settings))


@torch.inference_mode()
def main() -> None:
    """Print the throughput of a version on tokenised texts, sorted by length, in batches of 64."""
    served = load_served_model("2", Path(sys.argv[1]), "auto")
    learner = served.learner
    encoded = served.encode(json.loads(Path(sys.argv[2]).read_text()))
    passes = []
    for _ in range(3):
        began = time.perf_counter()
        for batch, states in learner.run(encoded, batch_size=CLIENTS):
            learner.read([layer.float() for layer in states], batch).softmax(-1)
        passes.append(time.perf_counter() - began)
    print(len(encoded) / min(passes))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
