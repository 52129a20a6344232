"""A folder that is read at every run says once what is wrong with its files."""

from __future__ import annotations

import logging

import pandas as pd

from cl.config import parse
from cl.ingestion.ingest import ingest
from cl.ingestion.sources.files import Files
from cl.stores.project_folder import ProjectFolder

GOOD = [(f"r{number}", f"text number {number}", "a") for number in range(20)]


def test_broken_rows_are_named_once_and_again_when_there_are_more_of_them(tmp_path, caplog) -> None:
    project, config, path = ProjectFolder(tmp_path), parse({}, where="test"), tmp_path / "one.csv"

    def warned(rows: list[tuple[str, str, str]]) -> list[str]:
        caplog.clear()
        pd.DataFrame(rows, columns=["id", "text", "label"]).to_csv(path, index=False)
        with caplog.at_level(logging.INFO, "cl.ingestion"):
            ingest(config, project, Files(path="one.csv"))
        return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]

    broken = [*GOOD, ("x1", "", "a"), ("r1", "another text", "a")]
    assert warned(broken) == [] and warned(broken) == [], "they are in quarantine since the first time"
    (line,) = warned([*broken, ("x2", "", "a")])
    assert "nothing new: seen before 20; 3 broken ones are not kept: missing text 2" in line
