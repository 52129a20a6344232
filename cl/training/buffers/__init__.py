"""Replay buffers: policies that choose which past rows to keep, one file each."""

from cl.training.buffers._base import Buffer, Offer, View

__all__ = ["Buffer", "Offer", "View"]
