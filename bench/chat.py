"""Written answers of `cl serve`: streams while versions are promoted, and what shared steps cost.

    python bench/chat.py soak [--model tiny] [--minutes 2] [--clients 64] [--promotions 5] [--versions 3] [--tokens 48]
    python bench/chat.py speed [--model smollm2] [--rows 64] [--tokens 32]

soak makes a project with versions whose updates are drawn at random, so that each says something else to every prompt,
and what that is follows from `cl predict`'s own way of writing. Clients stream answers over HTTP while the champion
moves. An answer fails without its last event; it is mixed if its pieces name two versions, or are not what the version
says; and it is late if its version was not champion when it was asked, or since. speed answers the same prompts as
/predict did before requests shared steps, eight rows at a time until the longest has ended, and through the engine, in
turn: CPU seconds of this process with one thread. tiny is a model of random weights, smollm2 the packaged one.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import random
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import torch
import yaml
from serving_servers import BASE, ours, started
from serving_soak import Reign, lateness, moved

from cl import config as configuration
from cl.commands.init import scaffold
from cl.config.serving import Batching, Writing
from cl.models.build import freeze_all_but_tuned, grow_labels, new_learner
from cl.models.generation import write
from cl.models.persistence import load_learner, save_learner
from cl.promotion.by_hand import promote_by_hand
from cl.records.history import History
from cl.serving.served_model import load_served_model
from cl.serving.traffic_split import TrafficSplit
from cl.serving.writing.engine import WritingEngine
from cl.stores.manifest import write_manifest
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import Stores, open_stores
from cl.stores.version_folder import save_history

THINGS = ["parcel", "card", "loan", "shoe", "lamp", "order", "refund", "invoice"]
PROMPTS = [f"{asks} my {thing}?" for asks in ("where is", "who has", "how old is", "what is") for thing in THINGS]


def made_tiny(folder: Path) -> Path:
    """Save a causal model of random weights that writes bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    plain = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    plain.pre_tokenizer, plain.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    words = PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<end>", pad_token="<pad>")
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    ids = {"eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(words), **sizes, **ids)).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def project_of(model: str, folder: Path, versions: int, tokens: int) -> tuple[ProjectFolder, Stores]:
    """Make a project whose versions are registered, the first of them champion."""
    name = str(made_tiny(folder / "base")) if model == "tiny" else model
    raw = {
        "name": "bench",
        "task": {"name": "text_generation", "max_new_tokens": tokens},
        "model": {"name": name, "max_length": 128 + tokens},
        "data": {"source": {"name": "files", "path": "inbox"}},
    }
    project = scaffold(folder / "project", yaml.safe_dump(raw))
    config = configuration.load(project.config)
    stores = open_stores(project, config)
    stores.registry.initialise()
    for number in range(1, versions + 1):
        learner = grow_labels(new_learner(config), ["text"], seed=0)
        freeze_all_but_tuned(learner)
        draw = torch.Generator().manual_seed(number)
        with torch.no_grad():
            for _, parameter in learner.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=draw) * (0.3 if model == "tiny" else 0.02))
        version = folder / "versions" / str(number)
        version.mkdir(parents=True)
        save_learner(learner, version)
        save_history(History(learnt=["0001-a"], config=config.model_dump(mode="json", by_alias=True)), version)
        write_manifest(version)
        run = stores.registry.runs.start_run(f"cycle-{number}", f"run-{number}", {})
        tags = {"cl.cycle_id": f"cycle-{number}", "cl.gates": "passed"}
        assert stores.registry.log_version(run, version, tags=tags, metrics={}) == str(number)
    promote_by_hand(stores.registry, stores.ledger, "1", why="bench", despite_gates=True)
    return project, stores


def said_by(folder: Path) -> dict[str, str]:
    """Return what a version says to each prompt, by `cl predict`'s own way of writing."""
    learner = load_learner(folder)
    rows = learner.encode(learner.task.schema.frame(PROMPTS))
    return {prompt: answer.value for prompt, answer in zip(PROMPTS, write(learner, rows), strict=True)}


@dataclass(frozen=True)
class Streamed:
    """What a client saw of one answer."""

    asked: float
    done: float
    prompt: str
    versions: frozenset[str]
    text: str
    problem: str
    first: float
    """Seconds until the first piece of text."""


async def stream(client: httpx.AsyncClient, prompt: str) -> Streamed:
    """Ask once, and read the answer to its end."""
    body = {"model": "bench", "messages": [{"role": "user", "content": prompt}], "stream": True}
    asked, first, versions, pieces, problem = time.time(), 0.0, set[str](), list[str](), "no last event"
    try:
        async with client.stream("POST", f"{BASE}/v1/chat/completions", json=body) as response:
            async for line in response.aiter_lines():
                if not line.startswith("data: "):
                    problem = line[:200] or problem
                elif line == "data: [DONE]":
                    problem = ""
                elif "error" in (event := json.loads(line.removeprefix("data: "))):
                    problem = str(event["error"])
                else:
                    versions.add(event["model"].partition("@")[2])
                    pieces.append(event["choices"][0]["delta"].get("content") or "")
                    first = first or (time.time() - asked if pieces[-1] else 0.0)
    except httpx.HTTPError as error:
        problem = repr(error)
    return Streamed(asked, time.time(), prompt, frozenset(versions), "".join(pieces), problem, first)


async def load(clients: int, until: float) -> list[Streamed]:
    """Let clients stream until a moment, each one answer after the other."""
    answers: list[Streamed] = []

    async def work(number: int) -> None:
        choose = random.Random(number)
        while time.time() < until:
            answers.append(await stream(client, choose.choice(PROMPTS)))

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=300, limits=limits) as client:
        await asyncio.gather(*(work(number) for number in range(clients)))
    return answers


def soak(options: argparse.Namespace) -> None:
    """Move the champion while clients stream, and print what they saw."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        project, stores = project_of(options.model, Path(folder), options.versions, options.tokens)
        numbers = [str(number) for number in range(1, options.versions + 1)]
        said = {number: said_by(Path(folder) / "versions" / number) for number in numbers}
        reigns, seconds = [Reign("1", 0.0, 0.0)], options.minutes * 60
        with started(ours(project, 1), f"{BASE}/readyz"):
            began = time.time()

            async def run() -> list[Streamed]:
                work = asyncio.ensure_future(load(options.clients, began + seconds))
                for move in range(1, options.promotions + 1):
                    await asyncio.sleep(max(0.0, began + seconds * move / (options.promotions + 1) - time.time()))
                    reigns.append(await asyncio.to_thread(moved, project, stores, "promote", options.versions))
                return await work

            answers = asyncio.run(run())
    report(answers, said, reigns, seconds)


def report(answers: list[Streamed], said: dict[str, dict[str, str]], reigns: list[Reign], seconds: float) -> None:
    """Print how many answers failed, were mixed or late, and how fast they came."""
    failed = [answer for answer in answers if answer.problem]
    good = [answer for answer in answers if not answer.problem]
    mixed = [a for a in good if len(a.versions) != 1 or said[min(a.versions)][a.prompt] != a.text]
    late = [a for a in good if lateness(min(a.versions), a.asked, a.done, reigns) > 0]
    by_version = collections.Counter(min(answer.versions) for answer in good)
    moves = len(reigns) - 1
    print(
        f"{len(answers)} streams in {seconds:g} s, {moves} promotions; by version: {dict(sorted(by_version.items()))}"
    )
    print(f"failed: {len(failed)}, mixed: {len(mixed)}, from a version that was not champion then: {len(late)}")
    for answer in (*failed[:3], *mixed[:3]):
        print(f"  {answer.problem or sorted(answer.versions)}: {answer.text[:80]!r}")
    firsts, wholes = sorted(a.first for a in good), sorted(a.done - a.asked for a in good)
    for name, times in (("first piece", firsts), ("whole answer", wholes)):
        print(f"{name}: median {times[len(times) // 2]:.2f} s, 99 in 100 within {times[int(len(times) * 0.99)]:.2f} s")


def speed(options: argparse.Namespace) -> None:
    """Print the CPU seconds of the same answers, eight rows at a time and through the engine."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        project_of(options.model, Path(folder), 1, options.tokens)
        served = load_served_model("1", Path(folder) / "versions" / "1", "float32")
        alone = load_learner(Path(folder) / "versions" / "1")
        prompts = [f"{PROMPTS[row % len(PROMPTS)]} ({row})" for row in range(options.rows)]

        async def through_engine() -> list[str]:
            engine = WritingEngine(lambda: TrafficSplit(served), Batching(), Writing(seconds=3600), lambda rows: None)
            work = asyncio.ensure_future(engine.run())
            answered = await engine.answer(prompts, "champion")
            work.cancel()
            engine.close()
            return [str(answer.value) for answer in answered.answers]

        def eight_at_a_time() -> list[str]:
            return [str(answer.value) for answer in write(alone, alone.encode(alone.task.schema.frame(prompts)))]

        results: dict[str, list[Any]] = {"before": [], "engine": []}
        for _ in range(options.rounds):
            for name, answer in (("before", eight_at_a_time), ("engine", lambda: asyncio.run(through_engine()))):
                began = resource.getrusage(resource.RUSAGE_SELF)
                texts = answer()
                ended = resource.getrusage(resource.RUSAGE_SELF)
                spent = ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime
                results[name].append((spent, texts))
                print(f"{name}: {spent:.1f} CPU s for {options.rows} answers of at most {options.tokens} tokens")
        before, engine = (min(spent for spent, _ in results[name]) for name in ("before", "engine"))
        same = sum(a == b for a, b in zip(results["before"][0][1], results["engine"][0][1], strict=True))
        print(f"engine / before: {engine / before:.2f}; the same text: {same} of {options.rows}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    soaking, measuring = commands.add_parser("soak"), commands.add_parser("speed")
    for command, model, tokens in ((soaking, "tiny", 48), (measuring, "smollm2", 32)):
        command.add_argument("--model", default=model)
        command.add_argument("--tokens", type=int, default=tokens)
    soaking.add_argument("--minutes", type=float, default=2.0)
    soaking.add_argument("--clients", type=int, default=64)
    soaking.add_argument("--promotions", type=int, default=5)
    soaking.add_argument("--versions", type=int, default=3)
    measuring.add_argument("--rows", type=int, default=64)
    measuring.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    {"soak": soak, "speed": speed}[options.command](options)


if __name__ == "__main__":
    main()
