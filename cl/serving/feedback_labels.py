"""What feedback may say: a label that the champion knows, or a new one, by the configuration."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Literal

from cl.ingestion.values import as_label
from cl.serving.errors import RequestError
from cl.tasks import OUTSIDE, ValueKind

NewLabels = Literal["accept", "confirm", "refuse"]
SHOWN = 5


def check_feedback_label(
    kind: ValueKind, label: str | list[str], known: Sequence[str], *, new_labels: NewLabels, confirmed: bool
) -> None:
    """Refuse a label, or a label or tag of a list, that is new where the configuration does not take it.

    Args:
        kind: of the answer; one that names no classes may say anything.
        label: the true answer.
        known: the labels or tags of the champion.
        new_labels: the configuration's `serve.new_labels`.
        confirmed: the client says that it means a new label.

    Raises:
        RequestError: 422, with the known label that comes closest.
    """
    if not kind.names_classes or new_labels == "accept" or (new_labels == "confirm" and confirmed):
        return
    given = [label] if isinstance(label, str) else label
    names = {as_label(name) for name in known}
    if not isinstance(label, str) and kind is not ValueKind.LABELS:
        names.add(OUTSIDE)
    unknown = next((name for name in given if as_label(name.strip()) not in names), None)
    if unknown is None:
        return
    close = difflib.get_close_matches(unknown[:100], sorted(names), n=1)
    hint = f"did you mean '{close[0]}'? " if close else f"known labels: {', '.join(sorted(names)[:SHOWN])}... "
    remedy = 'to add it, send "new_label": true' if new_labels == "confirm" else "serve.new_labels: refuse says so"
    raise RequestError(422, f"label: the model does not know '{unknown[:100]}'; {hint}{remedy}")


def known_labels(
    kind: ValueKind, label: str | list[str], labels: Sequence[str], former: Mapping[str, str | None]
) -> list[str]:
    """Return what feedback may name without adding a label: the champion's labels, and those that were renamed.

    Args:
        kind: of the answer.
        label: the true answer. Tags of a retired type become O when they are ingested, and of labels the others stay.
        labels: the labels or tags of the champion.
        former: its `ServedModel.former_labels`; for tags, types of entity.

    Raises:
        RequestError: 422, the label was retired or split.
    """
    if not isinstance(label, str) and kind is not ValueKind.LABELS:
        return [*labels, *(f"{prefix}-{name}" for name in former for prefix in ("B", "I"))]
    if not isinstance(label, str):
        return [*labels, *former]
    name = as_label(label.strip())
    if former.get(name, name) is None:
        raise RequestError(422, f"label: '{name[:100]}' is no longer used; send one of the model's labels")
    return [*labels, *former]
