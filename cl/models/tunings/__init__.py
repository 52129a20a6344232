"""Which part of the encoder an update moves: all of it, some layers, or a small part that is added: one file a mode."""

from cl.models.tunings._base import Tuning, encoder_layers, parameters_named

__all__ = ["Tuning", "encoder_layers", "parameters_named"]
