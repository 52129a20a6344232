"""A project with four versions in a real registry, and a real server that follows it."""

from tests.support.serving_shop import client, moving, server, shop  # noqa: F401
