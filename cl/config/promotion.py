"""What happens to a challenger that passed its gates."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cl.config.section import Section


class PromotionSettings(Section):
    """What happens to a challenger that passed its gates."""

    approval: Literal["none", "person"] = Field(
        "none", description="person: it waits for `cl approve` or `cl reject`; until then the champion is unchanged"
    )
    to: Literal["champion", "canary", "shadow"] = Field(
        "champion",
        description="Alias that it gets; a canary or shadow is promoted by hand. The first version becomes champion",
    )
    share: float = Field(0.1, gt=0, le=1, description="Share of requests that a canary or shadow gets")
