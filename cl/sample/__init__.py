"""The sample stream: its configuration, and its data as the content of a DVC remote."""

from __future__ import annotations

import json
from pathlib import Path

REMOTE = Path(__file__).parent / "remote"


def sample_configuration() -> str:
    """Return the sample project's cl.yaml."""
    return (Path(__file__).parent / "cl.yaml").read_text(encoding="utf-8")


def write_months(folder: Path) -> list[Path]:
    """Copy the stream's files out of the DVC remote and return their paths, in order.

    In a clone, `dvc pull` does the same; an installed package has the remote but no repository.
    """
    (listing,) = (REMOTE / "files" / "md5").glob("*/*.dir")
    paths = []
    for entry in json.loads(listing.read_text(encoding="utf-8")):
        digest, path = entry["md5"], folder / Path(entry["relpath"]).name
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes((REMOTE / "files" / "md5" / digest[:2] / digest[2:]).read_bytes())
        paths.append(path)
    return sorted(path for path in paths if path.suffix == ".csv")
