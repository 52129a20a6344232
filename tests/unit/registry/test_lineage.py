from __future__ import annotations

from datetime import UTC, datetime

from cl.records import VersionInfo
from cl.registry.lineage import ancestry, extend_with_compressed, teachers


def info(version: str, parent: str, form: str | None = None) -> VersionInfo:
    tags = {"cl.parent": parent, **({"cl.form": form} if form else {})}
    return VersionInfo(version=version, created=datetime.now(UTC), run_id="", tags=tags, aliases=[])


def test_a_line_goes_from_a_version_to_the_pretrained_weights() -> None:
    versions = [info("1", ""), info("2", "1"), info("3", "1"), info("4", "3")]
    assert ancestry("4", versions) == ["4", "3", "1"]
    assert ancestry(None, versions) == []


def test_a_parent_that_is_lost_or_an_endless_line_ends_it() -> None:
    assert ancestry("2", [info("2", "1")]) == ["2", "1"]
    assert ancestry("2", [info("2", "3"), info("3", "2")]) == ["2", "3"]


def test_a_student_that_serves_while_its_teacher_learns_belongs_to_the_line() -> None:
    versions = [
        info("1", ""),
        info("2", "1", "student"),
        info("3", "2", "int8"),
        info("4", "1"),
        info("5", "4", "int8"),
    ]
    assert extend_with_compressed(ancestry("5", versions), versions) == ["5", "4", "1", "2", "3"]
    assert extend_with_compressed(ancestry("1", versions), versions) == ["1", "2", "3"], (
        "the next update's are not of this line"
    )


def test_the_teachers_of_a_derived_version_end_with_what_was_learnt() -> None:
    versions = [info("1", ""), info("2", "1"), info("3", "2", "student"), info("4", "3", "int8"), info("5", "4")]
    assert teachers("4", versions) == ["3", "2"]
    assert teachers("5", versions) == teachers("2", versions) == teachers(None, versions) == []
