"""Tuning modes: which part of the encoder an update trains (all, some layers, or added parameters). One file a mode."""

from cl.models.tunings._base import Tuning, encoder_layers, find_parameters

__all__ = ["Tuning", "encoder_layers", "find_parameters"]
