"""Read the inputs of a model from words on the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from cl.errors import InputError
from cl.models.input_problems import row_problem
from cl.tasks import Schema, ValueKind


def parse_inputs(texts: Sequence[str], schema: Schema) -> list[Any]:
    """Return a model's inputs: texts as they are, sentences in words, and any others read as JSON objects.

    >>> from cl.tasks import Column
    >>> words, tags = Column("tokens", ValueKind.WORDS, "", []), Column("tags", ValueKind.TAGS, "", [])
    >>> parse_inputs(["anna sings"], Schema((words,), tags))
    [['anna', 'sings']]

    Raises:
        InputError: a text is no JSON object with the inputs.
    """
    if schema.input is not None and schema.input.kind.is_read:
        return [text.split() for text in texts] if schema.input.kind is ValueKind.WORDS else list(texts)
    return [_parse_object(text, schema) for text in texts]


def are_bare(texts: Sequence[str], *, tagger: str | None) -> bool:
    """Return whether a tagger finds the spans of texts: they are no JSON objects, and there is a tagger.

    >>> are_bare(["Anna founded Acme."], tagger="people@champion"), are_bare(["Anna founded Acme."], tagger=None)
    (True, False)

    Raises:
        InputError: there is a tagger, and only a part of the texts are JSON objects.
    """
    objects = sum(_is_object(text) for text in texts) if tagger is not None else len(texts)
    if 0 < objects < len(texts):
        raise InputError("give either bare texts, whose spans the tagger finds, or JSON objects with their spans")
    return objects == 0 and bool(texts)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _parse_object(text: str, schema: Schema) -> Any:
    example = json.dumps({column.name: column.example for column in schema.inputs}, ensure_ascii=False)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InputError(f"'{text[:80]}' is no JSON object with the inputs of the task; write it as {example}")
    if unknown := [name for name in content if name not in schema.input_names]:
        raise InputError(f"there is no input '{unknown[0][:80]}'; there are: {', '.join(schema.input_names)}")
    if problem := row_problem(content, schema):
        raise InputError(f"{problem}; write inputs as {example}")
    return content if schema.input is None else content[schema.input.name]
