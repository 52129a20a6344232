"""The sections of the configuration: what each stage can be told, with defaults that work."""

from cl.settings.climb import ClimbSettings
from cl.settings.data import Data, Period, SplitShares, Validate
from cl.settings.decide import Decide, DriftActions, DriftRungs
from cl.settings.distil import Distil, DistilWhen, Student
from cl.settings.drift import DriftSettings, Traffic
from cl.settings.evaluation import EvaluationSettings, OutOfScope, Robustness
from cl.settings.gates import GatePolicy
from cl.settings.model import Control, Model, Rung, TrainingSettings
from cl.settings.promotion import PromotionSettings
from cl.settings.registry import RegistrySettings
from cl.settings.section import PluginSpec, Section, check_plugin
from cl.settings.serve import Serve
from cl.settings.stores import StoreSettings
from cl.settings.triggers import Asking, Notify, Telling, Triggers
from cl.settings.tune import Axis, Range, TuneSettings

__all__ = [
    "Asking",
    "Axis",
    "ClimbSettings",
    "Control",
    "Data",
    "Decide",
    "Distil",
    "DistilWhen",
    "DriftActions",
    "DriftRungs",
    "DriftSettings",
    "EvaluationSettings",
    "GatePolicy",
    "Model",
    "Notify",
    "OutOfScope",
    "Period",
    "PluginSpec",
    "PromotionSettings",
    "Range",
    "RegistrySettings",
    "Robustness",
    "Rung",
    "Section",
    "Serve",
    "SplitShares",
    "StoreSettings",
    "Student",
    "Telling",
    "Traffic",
    "TrainingSettings",
    "Triggers",
    "TuneSettings",
    "Validate",
    "check_plugin",
]
