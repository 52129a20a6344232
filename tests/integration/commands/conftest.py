"""A project with five versions and no model, copied for each test."""

from tests.support.five_versions import five_versions, shop  # noqa: F401
