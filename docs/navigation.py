"""A hook of MkDocs: a navigation entry that names a folder lists the pages in it, so that a new page needs no entry."""

from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    """Replace each folder in the navigation by its pages: `index.md` first, then by name."""
    root = Path(config["docs_dir"])
    for entry in config["nav"]:
        for title, target in entry.items():
            if isinstance(target, str) and target.endswith("/"):
                pages = sorted((root / target).glob("*.md"), key=lambda page: (page.name != "index.md", page.name))
                entry[title] = [str(page.relative_to(root)) for page in pages]
    return config
