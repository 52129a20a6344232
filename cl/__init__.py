"""Perennial: a transformer in production that keeps learning without forgetting.

>>> import cl
>>> project = cl.Project.create("shop")                 # or cl.Project.open("shop")     # doctest: +SKIP
>>> project.ingest(frame_or_path)                       # doctest: +SKIP
>>> cycles = project.run()                              # doctest: +SKIP
>>> project.predict(["where is my parcel?"])            # doctest: +SKIP

Public are the names of ``cl.__all__`` and the module `cl.testing`; all else may change. Importing this loads nothing
heavy: each name is imported when it is first used.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_MODULES = {
    "cl.config": ("Config", "load_config"),
    "cl.drift.detectors": ("Detector",),
    "cl.errors": (
        "BusyError",
        "ConfigError",
        "ConflictError",
        "DiskError",
        "DivergedError",
        "InputError",
        "IntegrityError",
        "LedgerRowError",
        "PerennialError",
        "PluginError",
        "RefusedError",
        "SourceError",
        "StoreError",
        "UnknownPluginError",
        "UnservableError",
    ),
    "cl.gating.gates": ("Gate",),
    "cl.ingestion.sources": ("Source",),
    "cl.models.tunings": ("Tuning",),
    "cl.project": ("Project", "backtest"),
    "cl.records": (
        "Cycle",
        "Decision",
        "Drift",
        "Evaluation",
        "Experience",
        "GateReport",
        "LedgerEntry",
        "Promotion",
        "Training",
        "Validation",
        "Verdict",
        "VersionInfo",
    ),
    "cl.registry.versions": ("LoadedVersion", "load_version"),
    "cl.tasks": ("Task",),
    "cl.training.buffers": ("Buffer",),
    "cl.training.strategies": ("Strategy",),
}
_WHERE = {name: module for module, names in _MODULES.items() for name in names}

__all__ = ["__version__", *sorted(_WHERE)]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _WHERE:
        raise AttributeError(f"module 'cl' has no attribute '{name}'")
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_WHERE]
