"""The one typed configuration: `Config`, how it is read, and its sections, a file each."""

from cl.config.compression import Distil, DistilWhen, Student
from cl.config.config import Config, load, parse
from cl.config.config import load as load_config
from cl.config.data import Data, Period, SplitShares, Validate
from cl.config.decision import Decide, DriftActions, DriftRungs
from cl.config.drift import DriftSettings, Traffic
from cl.config.evaluation import EvaluationSettings, OutOfScope, Robustness
from cl.config.gating import GatePolicy
from cl.config.ladder import ClimbSettings, Rung
from cl.config.monitoring import Asking, Notify, Telling, Triggers
from cl.config.promotion import PromotionSettings
from cl.config.registry import RegistrySettings
from cl.config.search import Axis, Range, TuneSettings
from cl.config.section import PluginSpec, Section, check_plugin
from cl.config.serving import Serve
from cl.config.stores import StoreSettings
from cl.config.training import Control, Model, TrainingSettings

__all__ = [
    "Asking",
    "Axis",
    "ClimbSettings",
    "Config",
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
    "load",
    "load_config",
    "parse",
]
