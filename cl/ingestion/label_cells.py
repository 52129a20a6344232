"""From the cell of a label column to one label: lists of one, JSON, and spellings of one number or truth value."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from cl.ingestion.values import as_text

SEVERAL = "more than one label"
STRUCTURE = "label is no text"
LONGEST_LIST = 10_000
"""Characters of a cell that is read as a list."""
WHOLE = re.compile(r"(-?(?:0|[1-9]\d*))(?:\.0+)?", re.ASCII)
SEPARATORS = re.compile(r"\s*[|;,]\s*")


def read_label_cells(cells: pd.Series) -> tuple[list[str | None], dict[str, np.ndarray]]:
    """Return the label of each cell, None where there is none, and which cells hold something else, by the reason.

    A list with one label is that label, also where it is written as text: ``["refund"]`` in JSON or as Python shows it.

    >>> read_label_cells(pd.Series([["fee"], '["loan"]', "fee, loan"]))[0]
    ['fee', 'loan', 'fee, loan']
    """
    values = cells.tolist()
    labels = as_text(cells)
    several, structure = np.zeros(len(values), dtype=bool), np.zeros(len(values), dtype=bool)
    for index, value in enumerate(values):
        if type(value) is str and "[" not in value:
            continue
        listed = as_list(value)
        if listed is not None:
            names = dict.fromkeys(label for label in as_text(pd.Series(listed, dtype=object)) if label is not None)
            labels[index] = next(iter(names), None)
            several[index] = len(names) > 1
            structure[index] = any(isinstance(part, (list, tuple, dict)) for part in listed)
        elif isinstance(value, dict):
            structure[index] = True
    return labels, {SEVERAL: several & ~structure, STRUCTURE: structure}


def one_spelling(labels: Iterable[str | None], known: Mapping[str, str]) -> list[str | None]:
    """Return the labels, with one spelling for each number and each truth value.

    Args:
        labels: of any rows.
        known: what `known_spellings` returns for the labels of earlier experiences, whose spelling is kept.

    >>> one_spelling(["1.0", "TRUE", "fee"], known_spellings(["yes", "true"]))
    ['1', 'true', 'fee']
    """
    spelled: dict[str | None, str | None] = {None: None}
    result = []
    for label in labels:
        if label not in spelled:
            assert label is not None
            value = _value(label)
            spelled[label] = label if value is None else known.get(label) or known.get(value, value)
        result.append(spelled[label])
    return result


def known_spellings(labels: Collection[str]) -> dict[str, str]:
    """Return for each label that is a number or a truth value, and for that value, the spelling to use.

    Of several spellings that are classes of their own already, each stays what it is.
    """
    valued = [(label, value) for label in sorted(labels) if (value := _value(label)) is not None]
    return {value: label for label, value in reversed(valued)} | {label: label for label, _ in valued}


def joined_labels(names: Collection[str], known: Collection[str]) -> dict[str, list[str]]:
    """Return the labels that list other labels of the data, joined by commas, semicolons or bars, with their parts.

    A label that the stream has had before is one.

    >>> joined_labels({"fee", "loan", "fee; loan", "black, white"}, known=set())
    {'fee; loan': ['fee', 'loan']}
    """
    every = {*names, *known}
    split = {label: SEPARATORS.split(label) for label in sorted(set(names) - set(known)) if SEPARATORS.search(label)}
    return {label: parts for label, parts in split.items() if len(set(parts)) > 1 and every.issuperset(parts)}


def as_list(value: Any) -> list[Any] | None:
    """Return the elements of a list, or of a text that spells one."""
    if isinstance(value, np.ndarray):
        return list(value.tolist())
    if isinstance(value, (list, tuple)):
        return list(value)
    if not isinstance(value, str) or len(value) > LONGEST_LIST:
        return None
    text = value.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            parsed = parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(parsed, list):
            return parsed
    return None


def _value(label: str) -> str | None:
    """Return the usual spelling of a number or truth value; None for any other label."""
    if label.casefold() in ("true", "false"):
        return label.capitalize()
    whole = WHOLE.fullmatch(label)
    return whole and whole[1]
