"""The end-to-end score of a pipeline: a tagger finds the spans of the test texts, and a version answers their pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cl.models.inference import answer
from cl.models.learner import Learner
from cl.models.pairs import PairFinder, SpanPair
from cl.process.progress import meter
from cl.records.evaluation import END_TO_END_F1
from cl.tasks import Schema, ValueKind

Triple = tuple[str, int, int, int, int, str]
"""A text, the first character and the end of head and tail, and their relation."""


@dataclass(frozen=True)
class PairedTexts:
    """The texts of test rows, and the pairs of spans that the ``tagger`` has found in each."""

    tagger: str
    texts: Sequence[str]
    pairs: Sequence[Sequence[SpanPair]]

    def rows(self, schema: Schema) -> pd.DataFrame:
        """Return a row of inputs for each pair."""
        inputs = [pair.inputs(text, schema) for text, own in zip(self.texts, self.pairs, strict=True) for pair in own]
        return schema.frame(inputs)


def find_pairs(finder: PairFinder, rows: pd.DataFrame, schema: Schema) -> PairedTexts:
    """Let a tagger find the pairs of spans in the texts of test rows, each text once."""
    texts = list(dict.fromkeys(rows[schema.text].tolist()))
    with meter(len(texts), "texts"):
        return PairedTexts(finder.tagger, texts, finder.pairs(texts))


def score_end_to_end(learner: Learner, rows: pd.DataFrame, paired: PairedTexts) -> dict[str, float]:
    """Return how well the tagger and a learner together answer the texts of test rows.

    A relation that is answered is right if a row has it, between exactly these spans, whatever their types are (the
    setting "boundaries" of Taillé et al., 2020, "Let's stop incorrect comparisons in end-to-end relation extraction!").
    A pair that no row is about counts as one without a relation. Where nothing is true and nothing is answered, nothing
    is decided.

    Args:
        learner: what answers pairs.
        rows: test rows, with the spans that people have marked.
        paired: their texts, with the spans that the tagger has found.

    Returns:
        ``end_to_end_f1``, ``end_to_end_precision``, ``end_to_end_recall``, all micro; and ``end_to_end_spans``, the
        share of the rows with a relation whose two spans the tagger has found.
    """
    schema = learner.task.schema
    asked = paired.rows(schema)
    answers = answer(learner, asked).values if len(asked) else []
    none = learner.task.no_answer
    truth = _triples(rows, rows[schema.answer.name].tolist(), schema, none)
    answered = _triples(asked, [str(value) for value in answers], schema, none)
    if not truth and not answered:
        return {}
    right, spans = len(truth & answered), {triple[:-1] for triple in _triples(asked, answers, schema, None)}
    return {
        END_TO_END_F1: 2 * right / (len(truth) + len(answered)),
        "end_to_end_precision": right / len(answered) if answered else 0.0,
        **({"end_to_end_recall": right / len(truth)} if truth else {}),
        **({"end_to_end_spans": float(np.mean([triple[:-1] in spans for triple in truth]))} if truth else {}),
    }


def _triples(rows: pd.DataFrame, relations: Sequence[object], schema: Schema, none: str | None) -> set[Triple]:
    """Return the triples of rows, without those whose relation says that there is none."""
    head, tail = (column.name for column in schema.inputs if column.kind is ValueKind.SPAN)
    columns: Mapping[str, list[object]] = {name: rows[name].tolist() for name in (schema.text, head, tail) if name}
    return {
        (str(text), *(int(edge) for edge in [*first, *second]), str(relation))  # type: ignore[misc]
        for text, first, second, relation in zip(*columns.values(), relations, strict=True)
        if relation != none
    }
