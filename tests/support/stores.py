"""A learner as stores get it, the databases that a ledger may lie in, and an S3 server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cl.config import parse
from cl.stores.manifest import write_manifest
from cl.testing import MemoryLedger

SECRET = "s3-s3cret-access-key"


@dataclass(frozen=True)
class S3:
    """An S3 server with one bucket."""

    url: str
    bucket: str = "rows"

    @property
    def environment(self) -> dict[str, str]:
        """What leads a process to it."""
        return {
            "AWS_ACCESS_KEY_ID": "me",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
        }

    def client(self) -> Any:
        import boto3  # type: ignore[import-untyped]

        keys = {"aws_access_key_id": "me", "aws_secret_access_key": SECRET}
        return boto3.client("s3", endpoint_url=self.url, region_name="us-east-1", **keys)

    def keys(self) -> set[str]:
        """Return the names of all that is in the bucket."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return {one["Key"] for page in pages for one in page.get("Contents", [])}


@pytest.fixture
def s3() -> Iterator[S3]:
    server = pytest.importorskip("moto.server", reason="no S3 server here: pip install 'moto[s3]'")
    pytest.importorskip("boto3")
    started = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    started.start()
    host, port = started.get_host_and_port()
    made = S3(f"http://{host}:{port}")
    made.client().create_bucket(Bucket=made.bucket)
    yield made
    started.stop()


@pytest.fixture(scope="module")
def learner(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    from cl.models.build import grow_labels, new_learner
    from cl.models.persistence import save_learner

    folder = tmp_path_factory.mktemp("learners") / "challenger"
    folder.mkdir()
    config = parse({"model": {"name": str(tiny_model)}}, where="test")
    save_learner(grow_labels(new_learner(config), ["fee", "loan"], seed=0), folder)
    write_manifest(folder)
    return folder


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.nightly)])
def any_uri(request, tmp_path) -> Iterator[str]:
    """A database without a ledger: SQLite, and Postgres where there is one; a test may ask for memory, too."""
    if request.param == "memory":
        ledger = MemoryLedger()  # its memory lasts as long as it does
        yield ledger.uri
    elif request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/ledger.db"
    else:
        yield request.getfixturevalue("postgres").database("ledger")
