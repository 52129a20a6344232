"""Freeze the encoder and train only the head."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cl.models.tunings import Tuning
from cl.plugins import Capability

if TYPE_CHECKING:
    from torch import nn


class Head(Tuning):
    """Linear probing: the encoder is a fixed feature extractor.

    >>> from cl.testing import tiny_encoder
    >>> Head().moving(tiny_encoder())
    []
    """

    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.ENCODER})
    trains_encoder: ClassVar[bool] = False

    def moving(self, encoder: nn.Module) -> list[nn.Parameter]:
        """Return nothing."""
        return []
