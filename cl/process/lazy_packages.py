"""Import a package without what its ``__init__`` imports for convenience: each name when it is first used.

Some packages import all they have before the one module that is wanted, for seconds. In the block of `lazily`, their
``from x import y`` at the top is postponed, as a module's ``__getattr__`` can do (PEP 562); all
else in their ``__init__`` runs as it is written. A name is the same object as ever.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

Origins = dict[str, tuple[str, str]]
"""The module that a name comes from, and its name there."""


@contextmanager
def lazily(*packages: str) -> Iterator[None]:
    """Postpone the imports of these packages if they are imported in this block for the first time."""
    finder = _Finder(frozenset(packages))
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder(MetaPathFinder):
    def __init__(self, packages: frozenset[str]) -> None:
        self._packages = packages

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._packages:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _LazyLoader(spec.loader)
        return spec


class _LazyLoader(Loader):
    """Runs an ``__init__`` without its imports from inside the package."""

    def __init__(self, loader: SourceFileLoader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        tree = ast.parse(self._loader.get_data(self._loader.path), filename=self._loader.path)
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        origins: Origins = {}
        tree.body = [statement for statement in tree.body if not _postpone(statement, module.__name__, origins, used)]

        def get_name(name: str) -> Any:
            if name not in origins:
                raise AttributeError(f"module '{module.__name__}' has no attribute '{name}'")
            source, attribute = origins[name]
            value = _resolve(source, attribute)
            setattr(module, name, value)
            return value

        module.__dict__["__getattr__"] = get_name
        exec(compile(tree, self._loader.path, "exec"), module.__dict__)


def _postpone(statement: ast.stmt, package: str, origins: Origins, used: set[str]) -> bool:
    """Note where the names of an import from inside the package come from, if the ``__init__`` uses none of them.

    Return False for any other statement: it stays.
    """
    if not isinstance(statement, ast.ImportFrom):
        return False
    names = {alias.asname or alias.name: alias.name for alias in statement.names}
    parts = package.split(".")
    base = parts[: len(parts) - statement.level + 1] if statement.level else []
    source = ".".join([*base, *filter(None, [statement.module])])
    if source.split(".")[0] != parts[0] or "*" in names or used & names.keys():
        return False
    origins.update({name: (source, original) for name, original in names.items()})
    return True


def _resolve(source: str, attribute: str) -> Any:
    """Return what ``from source import attribute`` gives."""
    module = importlib.import_module(source)
    if attribute not in module.__dict__:
        try:
            return importlib.import_module(f"{source}.{attribute}")
        except ModuleNotFoundError as error:
            if error.name != f"{source}.{attribute}":
                raise
    return getattr(module, attribute)
