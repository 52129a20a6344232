"""The public names: listed, lazy, and the same for Python and for type checkers."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

import cl
from tests.support.repository import ROOT

PUBLIC = """
__version__ BusyError Buffer Config ConfigError ConflictError Cycle Decision Detector DiskError DivergedError Drift
Evaluation Experience Gate GateReport InputError IntegrityError LedgerEntry LedgerRowError LoadedVersion PerennialError
PluginError Project Promotion RefusedError Source SourceError StoreError Strategy Task Training Tuning
UnknownPluginError UnservableError Validation Verdict VersionInfo backtest load_config load_version
"""


def test_the_public_names_are_these_and_each_can_be_imported() -> None:
    assert sorted(cl.__all__) == sorted(PUBLIC.split())
    for name in cl.__all__:
        assert getattr(cl, name) is not None
    assert set(cl.__all__) <= set(dir(cl))


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'cl' has no attribute 'Projekt'"):
        cl.Projekt  # type: ignore[attr-defined] # noqa: B018


def test_type_checkers_see_the_same_names() -> None:
    stub = ast.parse((ROOT / "cl" / "__init__.pyi").read_text())
    declared = {alias.asname for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert declared | {"__version__"} == set(cl.__all__)
    modules = {node.module for node in stub.body if isinstance(node, ast.ImportFrom)}
    assert modules == set(cl._MODULES)


def test_importing_it_loads_nothing_heavy() -> None:
    code = (
        "import sys, cl; before = set(sys.modules); cl.RefusedError\n"
        "print(sorted({'torch', 'transformers', 'mlflow', 'pandas', 'pydantic', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_class_names_are_unique() -> None:
    seen: dict[str, list[str]] = {}
    for path in [*ROOT.glob("cl/**/*.py"), *ROOT.glob("flows/*.py")]:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                seen.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in seen.items() if len(paths) > 1} == {}
