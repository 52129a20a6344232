"""Projects on the tiny model, driven through the real command line in processes of their own."""

from tests.support.desk import desk, server  # noqa: F401
from tests.support.notebook_project import project  # noqa: F401
from tests.support.outside_site import installed  # noqa: F401
