"""Rules over an evaluation: one file a gate; every gate must pass before a challenger serves."""

from cl.gating.gates._base import Gate

__all__ = ["Gate"]
