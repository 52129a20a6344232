"""The examples in docstrings say what the code does, and those in examples/ are read."""

from __future__ import annotations

import doctest
import importlib

import pytest

from cl.config import load
from tests.support.repository import ROOT

WITH_EXAMPLES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "cl").rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_an_example_in_a_docstring_works(module) -> None:
    tried = doctest.testmod(importlib.import_module(module))
    assert tried.attempted and not tried.failed


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples").rglob("*.yaml")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_an_example_s_configuration_is_read(path) -> None:
    assert load(path).name.startswith(path.parent.name)
