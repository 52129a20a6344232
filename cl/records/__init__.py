"""The records that pass between stages: immutable, small, serialisable to JSON; paths and numbers, never tensors."""

from cl.records.compression import FORMS, REWRITTEN, TOLERANCE, TOLERANCE_INT8, CompressionResult, Form
from cl.records.cycle import Cycle, CycleOutline
from cl.records.decision import Decision, Gain
from cl.records.drift import TYPE_OF_KIND, ChangedGroup, Drift, DriftType, Finding
from cl.records.evaluation import (
    BASELINES,
    NUMERIC_COLUMNS,
    Baselines,
    BaselineScores,
    Control,
    Evaluation,
    Score,
    ScoresTogether,
)
from cl.records.experience import ANNOTATED, DESCRIPTIONS, SPLITS, WEIGHT, Experience, Validation
from cl.records.gates import TABLE, GateReport, Part, Regression, Verdict
from cl.records.ladder import Challenger, LadderResult, RungResult
from cl.records.ledger import Action, Alias, IntegrityViolation, LedgerEntry, Move
from cl.records.record import Record
from cl.records.registry import WITHDRAWN, Promotion, Registration, Unlearning, VersionInfo
from cl.records.search import Search, Trial
from cl.records.training import ControlArm, Training

__all__ = [
    "ANNOTATED",
    "BASELINES",
    "DESCRIPTIONS",
    "FORMS",
    "NUMERIC_COLUMNS",
    "REWRITTEN",
    "SPLITS",
    "TABLE",
    "TOLERANCE",
    "TOLERANCE_INT8",
    "TYPE_OF_KIND",
    "WEIGHT",
    "WITHDRAWN",
    "Action",
    "Alias",
    "BaselineScores",
    "Baselines",
    "Challenger",
    "ChangedGroup",
    "CompressionResult",
    "Control",
    "ControlArm",
    "Cycle",
    "CycleOutline",
    "Decision",
    "Drift",
    "DriftType",
    "Evaluation",
    "Experience",
    "Finding",
    "Form",
    "Gain",
    "GateReport",
    "IntegrityViolation",
    "LadderResult",
    "LedgerEntry",
    "Move",
    "Part",
    "Promotion",
    "Record",
    "Registration",
    "Regression",
    "RungResult",
    "Score",
    "ScoresTogether",
    "Search",
    "Training",
    "Trial",
    "Unlearning",
    "Validation",
    "Verdict",
    "VersionInfo",
]
