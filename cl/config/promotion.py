"""What becomes of a challenger that passed its gates."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cl.config.section import Section


class PromotionSettings(Section):
    """What becomes of a challenger that passed its gates."""

    approval: Literal["none", "person"] = Field(
        "none", description="person: it waits for `cl approve` or `cl reject`, and the champion serves on"
    )
    to: Literal["champion", "canary", "shadow"] = Field(
        "champion", description="What it becomes; a canary or shadow is promoted by hand. The first version serves"
    )
    share: float = Field(0.1, gt=0, le=1, description="Share of the requests that a canary or shadow gets")
