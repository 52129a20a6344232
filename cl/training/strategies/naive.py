"""Fine-tuning on the new rows alone: the lower end that every other strategy must beat."""

from cl.training.strategies import Strategy


class Naive(Strategy):
    """Learns what is new and does nothing against forgetting."""
