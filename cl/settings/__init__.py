"""The sections of the configuration: what each stage can be told, with defaults that work."""

from cl.settings.data import Data, Period, SplitShares, Validate
from cl.settings.decide import Decide, DriftActions, DriftRungs
from cl.settings.drift import DriftSettings, Traffic
from cl.settings.gates import GatePolicy
from cl.settings.model import Model, Rung, TrainingSettings
from cl.settings.section import PluginSpec, Section, check_plugin
from cl.settings.serve import Serve
from cl.settings.stores import StoreSettings
from cl.settings.triggers import Asking, Notify, Telling, Triggers

__all__ = [
    "Asking",
    "Data",
    "Decide",
    "DriftActions",
    "DriftRungs",
    "DriftSettings",
    "GatePolicy",
    "Model",
    "Notify",
    "Period",
    "PluginSpec",
    "Rung",
    "Section",
    "Serve",
    "SplitShares",
    "StoreSettings",
    "Telling",
    "Traffic",
    "TrainingSettings",
    "Triggers",
    "Validate",
    "check_plugin",
]
