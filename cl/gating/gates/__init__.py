"""Rules over an evaluation, one file per gate; a challenger serves only if every gate passes."""

from cl.gating.gates._base import Gate

__all__ = ["Gate"]
