"""The pages of the documentation, and the blocks of code in them."""

from __future__ import annotations

import textwrap
from pathlib import Path

from tests.support.repository import ROOT

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def blocks(page: Path, *kinds: str) -> list[tuple[str, str]]:
    """Return the nearest line of text above each fenced block of some kinds, and the block."""
    found, before, kind, body = [], "", None, list[str]()
    for line in page.read_text(encoding="utf-8").splitlines():
        fence = line.strip().startswith("```")
        if fence and kind is None:
            kind, body = line.strip()[3:].split(" ")[0], []
        elif fence:
            if kind in kinds:
                found.append((before, textwrap.dedent("\n".join(body))))
            kind = None
        elif kind is not None:
            body.append(line)
        elif line.strip():
            before = line
    return found
