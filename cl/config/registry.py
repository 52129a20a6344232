"""How long the registry keeps the files of versions that do not serve."""

from __future__ import annotations

from pydantic import Field

from cl.config.section import Section


class RegistrySettings(Section):
    """Which versions keep their files under `cl gc`; versions with an alias and the rollback target always do."""

    keep_last: int = Field(
        5, ge=0, description="Number of newest versions that passed their gates and keep their files"
    )
    keep_days: float = Field(30.0, ge=0, description="Versions younger than this keep their files, even if refused")
