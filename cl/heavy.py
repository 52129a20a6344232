"""numpy, pandas and pyarrow, imported when something in them is first used.

Every command reads the configuration, which imports the plug-ins that it names. Few commands compute with them, and the
others would wait a third of a second for what they do not use: plug-ins write ``from cl.heavy import np, pd``.
"""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

__all__ = ["few_collections", "np", "pa", "pc", "pd", "pq", "without_collections"]


@contextmanager
def without_collections() -> Iterator[None]:
    """Import large libraries in this block without Python's garbage collector, which costs a third of such imports.

    It would look for cycles among all objects each time that their number has grown by a quarter, and finds none among
    modules. They stay out of its sight afterwards, also when the interpreter ends.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


@contextmanager
def few_collections() -> Iterator[None]:
    """Look for cycles among objects rarely in this block, as a stage of a cycle makes many small objects that stay.

    Each look at all objects would take a fifth of a second, once or twice a cycle. What large arrays and models hold is
    freed without it, as soon as nothing refers to them.
    """
    before = gc.get_threshold()
    gc.set_threshold(20_000, 20, 500)
    try:
        yield
    finally:
        gc.set_threshold(*before)


class _Module:
    """Stands for a module until something in it is used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(importlib.import_module(self._name), attribute)
        setattr(self, attribute, value)
        return value


if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
else:
    np, pd, pa = _Module("numpy"), _Module("pandas"), _Module("pyarrow")
    pc, pq = _Module("pyarrow.compute"), _Module("pyarrow.parquet")
