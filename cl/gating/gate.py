"""Run every gate on the challenger; it may serve only if all of them pass."""

from __future__ import annotations

import logging

from cl import plugins
from cl.config import Config
from cl.gating.gates import Gate
from cl.gating.verdicts import correct_verdicts
from cl.heavy import pd
from cl.records import Evaluation, GateReport

log = logging.getLogger(__name__)


def gate(config: Config, evaluation: Evaluation) -> GateReport:
    """Return the verdict of every configured gate, in the configuration's order, and whether the challenger may serve.

    Raises:
        ConfigError: a gate names a metric that the task does not have.
    """
    report = judge(config, evaluation, pd.read_parquet(evaluation.predictions))
    for verdict in report.verdicts:
        log.info("gate %s %s: %s", verdict.gate, "passes" if verdict.passed else "refuses", verdict.why)
    return report


def judge(config: Config, evaluation: Evaluation, predictions: pd.DataFrame) -> GateReport:
    """Return the gates' verdicts on an evaluation and its stored rows; deterministic, so it can be replayed later."""
    policy = config.gate_policy
    if policy.mode == "off":
        return GateReport(passed=True, verdicts=[], mode=policy.mode)
    gates: list[Gate] = [plugins.build(Gate, spec) for spec in config.gates]
    verdicts = [plugin.judge(evaluation, predictions, seed=config.seed) for plugin in gates]
    if policy.correction == "holm":
        verdicts = correct_verdicts(verdicts)
    if policy.undecided == "block":
        verdicts = [
            verdict.model_copy(update={"passed": verdict.passed and not verdict.undecided}) for verdict in verdicts
        ]
    passed = policy.mode == "dry_run" or all(verdict.passed for verdict in verdicts)
    return GateReport(passed=passed, verdicts=verdicts, mode=policy.mode)
