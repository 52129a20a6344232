"""The records that pass between stages: frozen, small, JSON-able; paths and numbers, never tensors."""

from cl.records.climb import Attempt, Climb, Tried
from cl.records.cycle import Cycle
from cl.records.derivation import Derivation
from cl.records.drift import TYPE_OF_KIND, Decision, Drift, DriftType, Finding, Moved
from cl.records.evaluation import Control, ControlArm, Evaluation, Score, Training
from cl.records.experience import SPLITS, Experience, Validation
from cl.records.form import FORMS, REWRITTEN, TOLERANCE, TOLERANCE_INT8, Form
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
from cl.records.search import Search, Trial
from cl.records.verdicts import TABLE, GateReport, Part, Regression, Verdict

__all__ = [
    "FORMS",
    "REWRITTEN",
    "SPLITS",
    "TABLE",
    "TOLERANCE",
    "TOLERANCE_INT8",
    "TYPE_OF_KIND",
    "WITHDRAWN",
    "Action",
    "Alias",
    "Attempt",
    "Breach",
    "Climb",
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
    "Form",
    "GateReport",
    "LedgerEntry",
    "Moved",
    "Part",
    "Promotion",
    "Record",
    "Registration",
    "Regression",
    "Score",
    "Search",
    "Training",
    "Trial",
    "Tried",
    "Unlearning",
    "Validation",
    "Verdict",
    "VersionInfo",
]
