"""The typed configuration: `Config`, its loader, and one file per section."""

from cl.config.compression import CompressionSettings, CompressionTriggers, StudentSettings
from cl.config.config import Config, load, parse
from cl.config.config import load as load_config
from cl.config.data import DataSettings, Period, SplitShares, ValidationSettings
from cl.config.decision import DecisionSettings, DriftActions, DriftRungs
from cl.config.drift import DriftSettings, TrafficSettings
from cl.config.evaluation import EvaluationSettings, OutOfScope, Robustness
from cl.config.gating import GatePolicy
from cl.config.ladder import LadderSettings, Rung
from cl.config.monitoring import Asking, NotificationSettings, Telling, TriggerSettings
from cl.config.promotion import PromotionSettings
from cl.config.registry import RegistrySettings
from cl.config.search import Axis, Range, TuneSettings
from cl.config.section import PluginSpec, Section, check_plugin
from cl.config.serving import ServingSettings
from cl.config.stores import StoreSettings
from cl.config.training import AugmentSettings, ControlSettings, ModelSettings, TrainingSettings, WindowSettings

__all__ = [
    "Asking",
    "AugmentSettings",
    "Axis",
    "CompressionSettings",
    "CompressionTriggers",
    "Config",
    "ControlSettings",
    "DataSettings",
    "DecisionSettings",
    "DriftActions",
    "DriftRungs",
    "DriftSettings",
    "EvaluationSettings",
    "GatePolicy",
    "LadderSettings",
    "ModelSettings",
    "NotificationSettings",
    "OutOfScope",
    "Period",
    "PluginSpec",
    "PromotionSettings",
    "Range",
    "RegistrySettings",
    "Robustness",
    "Rung",
    "Section",
    "ServingSettings",
    "SplitShares",
    "StoreSettings",
    "StudentSettings",
    "Telling",
    "TrafficSettings",
    "TrainingSettings",
    "TriggerSettings",
    "TuneSettings",
    "ValidationSettings",
    "WindowSettings",
    "check_plugin",
    "load",
    "load_config",
    "parse",
]
