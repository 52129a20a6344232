"""How long the registry keeps the files of versions that do not serve."""

from __future__ import annotations

from pydantic import Field

from cl.config.section import Section


class RegistrySettings(Section):
    """Which versions keep their files when `cl gc` is run; what serves, or may be gone back to, always does."""

    keep_last: int = Field(5, ge=0, description="Newest versions that passed their gates keep their files")
    keep_days: float = Field(30.0, ge=0, description="Younger versions keep their files, refused ones too")
