"""The records that pass between stages: frozen, small, JSON-able; paths and numbers, never tensors."""

from cl.records.cycle import Cycle
from cl.records.derivation import Derivation
from cl.records.drift import TYPE_OF_KIND, Decision, Drift, DriftType, Finding, Moved
from cl.records.evaluation import NUMBERS, Control, ControlArm, Evaluation, Score, Training
from cl.records.experience import SPLITS, Experience, Validation
from cl.records.record import Record
from cl.records.registry import (
    WITHDRAWN,
    Action,
    Alias,
    Breach,
    LedgerEntry,
    Promotion,
    Registration,
    Unlearning,
    VersionInfo,
)
from cl.records.verdicts import GateReport, GroupVerdict, Verdict

__all__ = [
    "NUMBERS",
    "SPLITS",
    "TYPE_OF_KIND",
    "WITHDRAWN",
    "Action",
    "Alias",
    "Breach",
    "Control",
    "ControlArm",
    "Cycle",
    "Decision",
    "Derivation",
    "Drift",
    "DriftType",
    "Evaluation",
    "Experience",
    "Finding",
    "GateReport",
    "GroupVerdict",
    "LedgerEntry",
    "Moved",
    "Promotion",
    "Record",
    "Registration",
    "Score",
    "Training",
    "Unlearning",
    "Validation",
    "Verdict",
    "VersionInfo",
]
