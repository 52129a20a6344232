"""Which rows of the past are kept when not all can be: one file a policy."""

from cl.training.buffers._base import Buffer, Offer, View

__all__ = ["Buffer", "Offer", "View"]
