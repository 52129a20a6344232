"""Fine-tuning on the new rows only: the baseline that every other strategy must beat."""

from cl.training.strategies import Strategy


class Naive(Strategy):
    """Fine-tune on the new rows and do nothing against forgetting.

    >>> Naive().expected_rows(new=10, past=90)  # nothing of the past
    0
    """
