"""A learner as stores get it, and an S3 server."""

from tests.support.stores import learner, s3  # noqa: F401
