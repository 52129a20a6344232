"""What a test of several parts together may ask for."""

from tests.support.notebook_project import project  # noqa: F401
from tests.support.outside_site import installed  # noqa: F401
