"""Projects on the tiny model, driven through the real command line in processes of their own."""

from tests.support.desk import desk, server  # noqa: F401
