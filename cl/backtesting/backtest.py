"""Backtest: replay a whole stream offline under several strategies, policies and seeds."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cl import plugins
from cl.backtesting.processes import run_all
from cl.backtesting.results import Result, summarise
from cl.backtesting.run import Outcome, Policy, RunSpec, computing_versions, run_identity
from cl.config import Config, PluginSpec, parse
from cl.config.capability_checks import usable_baselines
from cl.config.yaml import read_yaml
from cl.errors import ConfigError, InputError
from cl.process.processors import count_processors
from cl.process.progress import meter, stage

log = logging.getLogger(__name__)
LADDER = "ladder"


@dataclass(frozen=True)
class Rungs:
    """The configuration's ladder instead of a strategy: climbed, or a single rung of it without gates."""

    only: str | None = None


Then = Literal["never", "student", "teacher"]
Chosen = dict[str, PluginSpec | list[PluginSpec] | Rungs]


@dataclass(frozen=True)
class BacktestPlan:
    """What a backtest replays.

    Args:
        strategies: as on the command line: a name, a YAML mapping, several joined by `+`, `ladder`, `ladder:RUNG`, or
            LABEL= and any of these; (): the configured ladder or strategy.
        policies: when to learn.
        seeds: one run each; (): the configured one.
        then: which version learns on after ``distil.when.updates``; never: no compression; (): as configured.
        first: number of experiences to replay; None: all.
        order: names of experiences in replay order, separated by commas; None: all, in the order read.
        baselines: whether to replay the simplest things that could work, too.
    """

    strategies: Sequence[str] = ()
    policies: Sequence[Policy] = ("always",)
    seeds: Sequence[int] = ()
    then: Sequence[Then] = ()
    first: int | None = None
    order: str | None = None
    baselines: bool = True


def backtest(
    config: Config, data: Path, plan: BacktestPlan, *, out: Path, jobs: int | None = None, fresh: bool = False
) -> list[Result]:
    """Replay a stream under every combination and return the results per strategy and policy.

    An interrupted run resumes after its last finished experience; a finished run is not repeated.

    Args:
        config: everything but the strategy and the seed.
        data: a file or a folder of files, as for `cl ingest`.
        plan: what to replay.
        out: folder for the stream and the runs.
        jobs: parallel runs; None: half the number of cores.
        fresh: whether to repeat finished runs.

    Raises:
        InputError: a strategy or an experience is unknown or unsuitable, or the stream cannot be read.
        PerennialError: it was interrupted.
    """
    with stage("load libraries"):
        from cl.backtesting.ladder import check_validation
        from cl.backtesting.stream import check_splits, read_stream, reorder

    chosen, seeds = choose_strategies(config, list(plan.strategies)), plan.seeds or [config.seed]
    configs = {
        (f"{label}{'-' + then if then else ''}", seed): _with_strategy(_with_then(config, then), spec, seed)
        for label, spec in chosen.items()
        for then in plan.then or (None,)
        for seed in seeds
    }
    for name in usable_baselines(plugins.build("tasks", config.task)) if plan.baselines else ():
        if name not in chosen:
            configs |= {(name, seed): _with_strategy(config.with_baseline(name), name, seed) for seed in seeds}
    store, experiences = read_stream(config, data, out / "streams")
    replayed = reorder(experiences, plan.order)[: plan.first]
    check_splits(replayed)
    if any(own.ladder for own in configs.values()):
        check_validation(replayed)
    ids = [experience.id for experience in replayed]
    stream = store.project.root
    versions = computing_versions()
    jobs = jobs or max(1, count_processors() // 2)
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
            threads=max(1, count_processors() // jobs) if jobs > 1 else None,
        )
        for (label, seed), own in configs.items()
        for policy in plan.policies
    ]
    if fresh:
        for spec in specs:
            shutil.rmtree(spec.folder, ignore_errors=True)
    return summarise(_run_all(specs, jobs), names_with_policy=len(plan.policies) > 1)


def choose_strategies(config: Config, wanted: list[str]) -> Chosen:
    """Return label -> strategy for the command-line options; without any, the configured ladder or strategy.

    A bare name that matches a configured strategy takes its fields too.

    Raises:
        InputError: an option is not valid YAML, or a label is repeated.
    """
    if not wanted and config.ladder:
        return {LADDER: Rungs()}
    if not wanted:
        return {"+".join(_name(spec) for spec in config.strategies): config.strategies}
    own = {_name(spec): spec for spec in config.strategies}
    chosen: Chosen = {}
    for text in wanted:
        label, spec = _parse_strategy(text, own, [rung.name for rung in config.ladder])
        if label in chosen:
            raise InputError(f"--strategy: '{label}' is repeated; give one of them a label: LABEL={text}")
        chosen[label] = spec
    return chosen


def _parse_strategy(text: str, own: dict[str, PluginSpec], rungs: list[str]) -> tuple[str, list[PluginSpec] | Rungs]:
    label, named, rest = text.partition("=")
    body = rest if named and label.replace("-", "").replace("_", "").isalnum() else text
    kind, _, only = body.partition(":")
    if kind == LADDER:
        if not rungs or only not in ("", *rungs):
            there = f"there are: {', '.join(rungs)}" if rungs else "there is no ladder in it"
            raise InputError(f"--strategy {text}: no such ladder or rung in the configuration; {there}")
        return (label if body is rest else only or LADDER), Rungs(only or None)
    try:
        specs = [read_yaml(part) for part in body.split("+")]
    except ConfigError as error:
        raise InputError(
            f"--strategy {text}: is no name and no YAML mapping such as {{name: replay}}: {error}"
        ) from None
    for spec in specs:
        if not isinstance(spec, str) and not (isinstance(spec, dict) and "name" in spec):
            raise InputError(f"--strategy {text}: is no name and no YAML mapping such as {{name: replay}}")
    specs = [own.get(spec, spec) if isinstance(spec, str) else spec for spec in specs]
    return (label if body is rest else "+".join(_name(spec) for spec in specs)), specs


def _name(spec: PluginSpec) -> str:
    return spec if isinstance(spec, str) else str(spec["name"])


def _with_strategy(config: Config, strategy: PluginSpec | list[PluginSpec] | Rungs, seed: int) -> Config:
    alone = config.at_rung(strategy.only) if isinstance(strategy, Rungs) else config
    raw = alone.model_dump(mode="json", by_alias=True)
    raw["drift"]["report"] = "off"  # nobody reads a report of every step
    if isinstance(strategy, Rungs):
        return parse({**raw, "seed": seed}, where="--strategy")
    raw |= {"ladder": [], "decide": raw["decide"] | {"rung": {}}}
    return parse({**raw, "strategy": strategy, "seed": seed}, where="--strategy")


def _with_then(config: Config, then: Then | None) -> Config:
    """Return the configuration with another setting of what learns on after compression.

    Raises:
        InputError: compression is not configured.
    """
    if then is None:
        return config
    if then != "never" and config.distil.when.updates is None:
        raise InputError(f"--then {then}: set distil.when.updates in the configuration: how often to compress")
    when = config.distil.when.model_copy(update={"updates": None} if then == "never" else {})
    wanted = config.distil.model_copy(update={"when": when, **({} if then == "never" else {"then": then})})
    return config.model_copy(update={"distil": wanted})


def _run_all(specs: list[RunSpec], jobs: int) -> list[Outcome]:
    """Run all specs, and report how many cycles are done."""
    done = sum(map(_count_lines, specs))
    with stage("replay"), meter(sum(len(spec.experiences) for spec in specs), "cycles", done=done) as cycles:
        outcomes = run_all(specs, jobs, on_tick=lambda: cycles.reach(sum(map(_count_lines, specs))))
    for outcome in outcomes:
        if outcome.traceback:
            log.info("%s, seed %s: %s", outcome.spec.label, outcome.spec.seed, outcome.traceback)
    return outcomes


def _count_lines(spec: RunSpec) -> int:
    return spec.lines.read_bytes().count(b"\n") if spec.lines.exists() else 0
