from __future__ import annotations

from datetime import UTC, datetime

from cl.lineage import line_of
from cl.records import VersionInfo


def info(version: str, parent: str) -> VersionInfo:
    now = datetime.now(UTC)
    return VersionInfo(version=version, created=now, run_id="", tags={"cl.parent": parent}, aliases=[])


def test_a_line_goes_from_a_version_to_the_pretrained_weights() -> None:
    versions = [info("1", ""), info("2", "1"), info("3", "1"), info("4", "3")]
    assert line_of("4", versions) == ["4", "3", "1"]
    assert line_of(None, versions) == []


def test_a_parent_that_is_lost_or_an_endless_line_ends_it() -> None:
    assert line_of("2", [info("2", "1")]) == ["2", "1"]
    assert line_of("2", [info("2", "3"), info("3", "2")]) == ["2", "3"]
