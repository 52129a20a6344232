"""Hold the challenger against every gate; it may serve only when all of them pass."""

from __future__ import annotations

import logging

import pandas as pd

from cl import plugins
from cl.config import Config
from cl.gates import Gate
from cl.records import Evaluation, GateReport

log = logging.getLogger(__name__)


def gate(config: Config, evaluation: Evaluation) -> GateReport:
    """Return the verdict of every configured gate, in the configuration's order; it passes when all do.

    Raises:
        ConfigError: a gate asks for a metric that the task does not have.
    """
    predictions = pd.read_parquet(evaluation.predictions)
    gates: list[Gate] = [plugins.build("gates", spec) for spec in config.gates]
    verdicts = [one.judge(evaluation, predictions, seed=config.seed) for one in gates]
    for verdict in verdicts:
        log.info("gate %s %s: %s", verdict.gate, "passes" if verdict.passed else "refuses", verdict.why)
    return GateReport(passed=all(verdict.passed for verdict in verdicts), verdicts=verdicts)
