"""What an answer says, by the kind of its column: which classes it names, and when two answers agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cl.tasks._schema import ValueKind

OUTSIDE = "O"
"""The tag of a word that belongs to no entity, and the class of a sentence without one."""
BETWEEN_LABELS = " | "
NONE_APPLIES = "(no label)"
"""Stands for an answer of labels that holds none."""


def names_in(kind: ValueKind, answer: Any) -> list[str]:
    """Return the classes that an answer names, each once: its label, its labels, or the entity types of its tags.

    >>> names_in(ValueKind.TAGS, ["B-PER", "I-PER", "O"]), names_in(ValueKind.LABELS, ["loan", "fee"])
    (['PER'], ['fee', 'loan'])
    """
    if kind is ValueKind.LABEL:
        return [answer]
    if kind is ValueKind.LABELS:
        return sorted(set(answer))
    return sorted({tag[2:] for tag in answer if "-" in tag}) if kind is ValueKind.TAGS else []


def occurrences(kind: ValueKind, answer: Any) -> list[str]:
    """Return the classes that an answer names, as often as it does: a type for each entity that begins."""
    return [tag[2:] for tag in answer if tag[:2] == "B-"] if kind is ValueKind.TAGS else names_in(kind, answer)


def class_of(kind: ValueKind, answer: Any) -> str:
    """Return one class for an answer, for a mix of them: its names joined; of texts, whether there is one.

    >>> class_of(ValueKind.TAGS, ["O", "B-PER", "B-LOC"]), class_of(ValueKind.TEXTS, [])
    ('LOC PER', 'not answered')
    """
    if kind is ValueKind.LABEL:
        return str(answer)
    if kind is ValueKind.TAGS:
        return " ".join(names_in(kind, answer)) or OUTSIDE
    if kind is ValueKind.LABELS:
        return BETWEEN_LABELS.join(names_in(kind, answer)) or NONE_APPLIES
    return "answered" if answer is not None and len(answer) else "not answered"


def renamed(kind: ValueKind, answer: Any, name: Callable[[str], str | None]) -> Any:
    """Return an answer whose classes have other names; None: its only class has ended.

    A tag of a type that has ended becomes O, and of several labels the others stay.

    Args:
        kind: of the answer.
        answer: that of a row.
        name: returns the new name of a class; None: it has ended.
    """
    if kind is ValueKind.LABEL:
        return name(answer)
    if kind is ValueKind.LABELS:
        return sorted({new for label in answer if (new := name(label)) is not None})
    return [renamed_tag(tag, name) for tag in answer] if kind is ValueKind.TAGS else answer


def renamed_tag(tag: str, name: Callable[[str], str | None]) -> str:
    """Return a BIO2 tag under the new name of its entity type; O, and what says that nobody knows, stay."""
    if "-" not in tag:
        return tag
    new = name(tag[2:])
    return f"{tag[:2]}{new}" if new else OUTSIDE


def agrees(kind: ValueKind, truth: Any, answer: Any) -> bool:
    """Return whether an answer is the true one; of texts, one of those that are accepted, or none where there is none.

    >>> agrees(ValueKind.LABELS, ["fee", "loan"], ["loan", "fee"])
    True
    >>> agrees(ValueKind.TEXTS, ["1066", "in 1066"], ["In 1066"])
    True
    """
    if kind is ValueKind.LABELS:
        return set(truth) == set(answer)
    if kind is ValueKind.TEXTS:
        accepted = {normal_answer(text) for text in truth}
        return {normal_answer(text) for text in answer} <= accepted if len(answer) else not accepted
    return bool(truth == answer)


def normal_answer(text: str) -> str:
    """Return a text without case and superfluous blanks."""
    return " ".join(text.casefold().split())


def in_order(kind: ValueKind, answer: Any) -> Any:
    """Return an answer as it is stored: labels sorted, each once."""
    return sorted(set(answer)) if kind is ValueKind.LABELS else answer


def as_one_line(kind: ValueKind, value: Any) -> str:
    """Return a value in words, for a table or a message: words and texts joined.

    >>> as_one_line(ValueKind.WORDS, ["my", "card"]), as_one_line(ValueKind.SPAN, [3, 7])
    ('my card', '3 to 7')
    """
    if value is None or isinstance(value, str):
        return value or ""
    if kind in (ValueKind.SPAN, ValueKind.NUMBERS):
        return (" to " if kind is ValueKind.SPAN else " ").join(map(str, value))
    if kind is ValueKind.LABELS:
        return BETWEEN_LABELS.join(sorted(value)) or NONE_APPLIES
    if kind is ValueKind.MESSAGES:
        return " / ".join(f"{turn['role']}: {turn['content']}" for turn in value)
    return (" / " if kind is ValueKind.TEXTS else " ").join(value)
