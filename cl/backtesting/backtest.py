"""Backtest: a whole stream replayed under several strategies, policies and seeds, before any of them is trusted."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from tqdm import tqdm

from cl.backtesting.processes import run_all
from cl.backtesting.results import Result, summarise
from cl.backtesting.run import Outcome, Policy, RunSpec, computing_versions, run_identity
from cl.config import Config, PluginSpec, parse
from cl.config.yaml import read_yaml
from cl.errors import InputError

log = logging.getLogger(__name__)
LADDER = "ladder"


@dataclass(frozen=True)
class Rungs:
    """The configuration's ladder in place of a strategy: climbed, or one rung of it alone, without gates."""

    only: str | None = None


Then = Literal["never", "student", "teacher"]
Chosen = dict[str, PluginSpec | list[PluginSpec] | Rungs]


@dataclass(frozen=True)
class BacktestPlan:
    """What a backtest replays.

    Args:
        strategies: as on the command line: a name, a YAML mapping, several joined by `+`, `ladder`, `ladder:RUNG`, or
            LABEL=one of these; none: the configuration's own.
        policies: when to learn.
        seeds: one run each; none: the configuration's.
        then: what learns on after ``distil.when.updates``; never leaves cheaper versions out; (): as configured.
        first: how many experiences to replay; None: all.
        order: names of experiences, comma between them, in the order to replay; None: all, as they were read.
    """

    strategies: Sequence[str] = ()
    policies: Sequence[Policy] = ("always",)
    seeds: Sequence[int] = ()
    then: Sequence[Then] = ()
    first: int | None = None
    order: str | None = None


def backtest(
    config: Config, data: Path, plan: BacktestPlan, *, out: Path, jobs: int | None = None, fresh: bool = False
) -> list[Result]:
    """Replay a stream under every combination and return what came of each strategy and policy.

    A run that was interrupted goes on after its last finished experience; one that is finished is not repeated.

    Args:
        config: everything but the strategy and the seed.
        data: what `cl ingest` would be given: a file, or a folder of files.
        plan: what is replayed.
        out: folder for the stream and the runs.
        jobs: runs at once; None: as many as leave each two processors.
        fresh: whether finished runs are repeated.

    Raises:
        InputError: a strategy is unknown or refused, an experience is, or the stream cannot be read.
        PerennialError: a person stopped it.
    """
    from cl.backtesting.ladder import check_validation
    from cl.backtesting.stream import check_splits, read_stream, reorder

    chosen = choose_strategies(config, list(plan.strategies))
    configs = {
        (f"{label}{'-' + way if way else ''}", seed): _with(_then(config, way), spec, seed)
        for label, spec in chosen.items()
        for way in plan.then or (None,)
        for seed in plan.seeds or [config.seed]
    }
    experiences, found = read_stream(config, data, out / "streams")
    replayed = reorder(found, plan.order)[: plan.first]
    check_splits(replayed)
    if any(own.ladder for own in configs.values()):
        check_validation(replayed)
    ids = [one.id for one in replayed]
    stream = experiences.project.root
    versions = computing_versions()
    jobs = jobs or max(1, (os.cpu_count() or 1) // 2)
    specs = [
        RunSpec(
            label=label,
            policy=policy,
            config=own.model_dump(mode="json", by_alias=True),
            stream=str(stream),
            experiences=ids,
            folder=str(
                out
                / "runs"
                / f"{label}-{policy}-{seed}-{run_identity(own, policy, stream.name, ids, versions=versions)}"
            ),
            threads=max(1, (os.cpu_count() or 1) // jobs) if jobs > 1 else None,
        )
        for (label, seed), own in configs.items()
        for policy in plan.policies
    ]
    if fresh:
        for spec in specs:
            shutil.rmtree(spec.folder, ignore_errors=True)
    return summarise(_all(specs, jobs), names_with_policy=len(plan.policies) > 1)


def choose_strategies(config: Config, wanted: list[str]) -> Chosen:
    """Return label -> strategy for what the command line says; nothing said: the configuration's own.

    A bare name that the configuration's own strategy has stands for that one, with its fields.

    Raises:
        InputError: it is no YAML, or a label comes twice.
    """
    if not wanted:
        return {"+".join(_name(spec) for spec in config.strategies): config.strategies}
    own = {_name(spec): spec for spec in config.strategies}
    chosen: Chosen = {}
    for text in wanted:
        label, spec = _parsed(text, own, [rung.name for rung in config.ladder])
        if label in chosen:
            raise InputError(f"--strategy: '{label}' comes twice; give one of them a label: LABEL={text}")
        chosen[label] = spec
    return chosen


def _parsed(text: str, own: dict[str, PluginSpec], rungs: list[str]) -> tuple[str, list[PluginSpec] | Rungs]:
    label, named, rest = text.partition("=")
    body = rest if named and label.replace("-", "").replace("_", "").isalnum() else text
    kind, _, only = body.partition(":")
    if kind == LADDER:
        if not rungs or only not in ("", *rungs):
            there = f"there are: {', '.join(rungs)}" if rungs else "there is no ladder in it"
            raise InputError(f"--strategy {text}: the configuration has no such ladder or rung; {there}")
        return (label if body is rest else only or LADDER), Rungs(only or None)
    try:
        specs = [read_yaml(part) for part in body.split("+")]
    except yaml.YAMLError:
        raise InputError(f"--strategy {text}: is no name and no YAML mapping such as {{name: replay}}") from None
    for spec in specs:
        if not isinstance(spec, str) and not (isinstance(spec, dict) and "name" in spec):
            raise InputError(f"--strategy {text}: is no name and no YAML mapping such as {{name: replay}}")
    specs = [own.get(spec, spec) if isinstance(spec, str) else spec for spec in specs]
    return (label if body is rest else "+".join(_name(spec) for spec in specs)), specs


def _name(spec: PluginSpec) -> str:
    return spec if isinstance(spec, str) else str(spec["name"])


def _with(config: Config, strategy: PluginSpec | list[PluginSpec] | Rungs, seed: int) -> Config:
    alone = config.at_rung(strategy.only) if isinstance(strategy, Rungs) else config
    raw = alone.model_dump(mode="json", by_alias=True)
    raw["drift"]["report"] = "off"  # nobody reads a report of every step
    if isinstance(strategy, Rungs):
        return parse({**raw, "seed": seed}, where="--strategy")
    raw |= {"ladder": [], "decide": raw["decide"] | {"rung": {}}}
    return parse({**raw, "strategy": strategy, "seed": seed}, where="--strategy")


def _then(config: Config, way: Then | None) -> Config:
    """Return the configuration with another answer to what learns after a cheaper version was made.

    Raises:
        InputError: nothing asks for cheaper versions.
    """
    if way is None:
        return config
    if way != "never" and config.distil.when.updates is None:
        raise InputError(f"--then {way}: needs distil.when.updates in the configuration: how often one is made")
    when = config.distil.when.model_copy(update={"updates": None} if way == "never" else {})
    wanted = config.distil.model_copy(update={"when": when, **({} if way == "never" else {"then": way})})
    return config.model_copy(update={"distil": wanted})


def _all(specs: list[RunSpec], jobs: int) -> list[Outcome]:
    """Run each, and show how far they are."""
    total = sum(len(spec.experiences) for spec in specs)
    with tqdm(total=total, desc="backtest", unit="experience", disable=None, leave=False) as bar:

        def show() -> None:
            bar.n = sum(_lines(spec) for spec in specs)
            bar.refresh()

        outcomes = run_all(specs, jobs, on_tick=show)
    for one in outcomes:
        if one.traceback:
            log.info("%s, seed %s: %s", one.spec.label, one.spec.seed, one.traceback)
    return outcomes


def _lines(spec: RunSpec) -> int:
    return spec.lines.read_bytes().count(b"\n") if spec.lines.exists() else 0
