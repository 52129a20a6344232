"""Every plug-in of our own shows how it is used: an example in its docstring, which runs."""

from __future__ import annotations

import doctest
import inspect

import pytest

from cl import plugins

EVERY = [(kind, name) for kind in plugins.KINDS for name in plugins.names(kind)]


@pytest.mark.parametrize(("kind", "name"), EVERY, ids=[f"{kind}-{name}" for kind, name in EVERY])
def test_its_example_runs(kind, name) -> None:
    plugin = plugins.find(kind, name)
    module = inspect.getmodule(plugin)
    (example,) = doctest.DocTestFinder(recurse=False).find(plugin, plugin.__name__, module=module)
    assert example.examples, f"{kind}/{name} has no example in its docstring"
    runner = doctest.DocTestRunner()
    assert runner.run(example).failed == 0
