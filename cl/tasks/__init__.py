"""Task types, one file each: columns, targets, features, decoding and scores."""

from cl.plugins import Capability
from cl.tasks._answers import (
    BETWEEN_LABELS,
    NONE_APPLIES,
    OUTSIDE,
    agrees,
    as_one_line,
    class_of,
    in_order,
    names_in,
    occurrences,
    renamed,
    renamed_tag,
)
from cl.tasks._base import (
    IGNORED,
    Batch,
    Encoded,
    Pooling,
    Prediction,
    Targets,
    Task,
    filler,
    known_positions,
    scores_by_class,
    text_ids,
)
from cl.tasks._conversations import as_turns, conversation_problem
from cl.tasks._corpus_scores import SCORE_OF_SUMS, WRITTEN_SCORES, count_answers
from cl.tasks._schema import Column, Schema, ValueKind
from cl.tasks._text_scores import RatedText, split_words
from cl.tasks._words import token_offsets

__all__ = [
    "BETWEEN_LABELS",
    "IGNORED",
    "NONE_APPLIES",
    "OUTSIDE",
    "SCORE_OF_SUMS",
    "WRITTEN_SCORES",
    "Batch",
    "Capability",
    "Column",
    "Encoded",
    "Pooling",
    "Prediction",
    "RatedText",
    "Schema",
    "Targets",
    "Task",
    "ValueKind",
    "agrees",
    "as_one_line",
    "as_turns",
    "class_of",
    "conversation_problem",
    "count_answers",
    "filler",
    "in_order",
    "known_positions",
    "names_in",
    "occurrences",
    "renamed",
    "renamed_tag",
    "scores_by_class",
    "split_words",
    "text_ids",
    "token_offsets",
]
