"""Names of classes that Hugging Face data sets store as numbers, in the metadata of their files."""

from __future__ import annotations

import json
from typing import Any

from cl.heavy import np, pa, pd


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Return the names of the classes in each column that a file describes as a `ClassLabel`, or as lists of them."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return names_of_features(features)


def names_of_features(features: Any) -> dict[str, list[str]]:
    """Return the names of the classes in each column, from the features in a data set's `dataset_info.json`."""
    if not isinstance(features, dict):
        return {}
    names = {column: _names(feature) for column, feature in features.items()}
    return {column: list(map(str, values)) for column, values in names.items() if values}


def _names(feature: Any) -> list[Any] | None:
    """Return the names of one feature; of lists, those of what they hold."""
    if isinstance(feature, list) and len(feature) == 1:  # a list, as older versions wrote it
        return _names(feature[0])
    if not isinstance(feature, dict):
        return None
    if feature.get("_type") == "ClassLabel":
        names = feature.get("names")
        return names if isinstance(names, list) else None
    return _names(feature.get("feature")) if "feature" in feature else None


def put_class_names(frame: pd.DataFrame, names: dict[str, list[str]]) -> pd.DataFrame:
    """Return a table with the names of classes in the place of their numbers; a number without a name is missing."""
    columns = {
        column: pd.Series([_named(value, values) for value in frame[column].tolist()], dtype=object)
        for column, values in names.items()
        if column in frame
    }
    return frame.assign(**columns) if columns else frame


def _named(value: Any, names: list[str]) -> Any:
    if isinstance(value, list | np.ndarray):
        return [_named(part, names) for part in value]
    if isinstance(value, str):
        return value
    is_number = isinstance(value, int | float | np.integer) and value == value
    return names[int(value)] if is_number and 0 <= value < len(names) else None
