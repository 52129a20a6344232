"""Evaluations and per-row predictions as gates see them."""

from tests.support.evaluations import answers, evaluation  # noqa: F401
