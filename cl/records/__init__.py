"""The records that pass between stages: frozen, small, JSON-able; paths and numbers, never tensors."""

from cl.records.compression import FORMS, REWRITTEN, TOLERANCE, TOLERANCE_INT8, Derivation, Form
from cl.records.cycle import Cycle
from cl.records.decision import Decision
from cl.records.drift import TYPE_OF_KIND, Drift, DriftType, Finding, Moved
from cl.records.evaluation import Control, Evaluation, Score
from cl.records.experience import SPLITS, Experience, Validation
from cl.records.gates import TABLE, GateReport, Part, Regression, Verdict
from cl.records.ladder import Attempt, Climb, Tried
from cl.records.ledger import Action, Alias, Breach, LedgerEntry
from cl.records.record import Record
from cl.records.registry import WITHDRAWN, Promotion, Registration, Unlearning, VersionInfo
from cl.records.search import Search, Trial
from cl.records.training import ControlArm, Training

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
