"""A tiny model that has learnt a little, and rows that it has not seen."""

from tests.support.measured import learner, unseen  # noqa: F401
