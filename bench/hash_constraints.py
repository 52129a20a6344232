"""Write the constraints with the SHA-256 of each file that pip would install: `make constraints-hashed`.

    python bench/hash_constraints.py dist/constraints-hashed.txt [EXTRA ...]

pip chooses the files, for this Python and this kind of machine, and installs none; the indexes are the configured ones.
With no extra named, the file covers all of them. Our own package is not in it: build it, or take its wheel.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def resolve(extras: str, report: Path) -> list[dict[str, Any]]:
    """Return what pip would install for extras of this folder in an empty environment."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", report]
    subprocess.run([*command, "--constraint", ROOT / "constraints.txt", f"{ROOT}[{extras}]"], check=True)
    items: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["install"]
    return items


def hashed_lines(items: list[dict[str, Any]]) -> list[str]:
    """Return a requirement with its digests for each item of pip's report that is a file, sorted by name.

    Raises:
        SystemExit: pip knows no digest of a file.
    """
    lines = []
    for item in items:
        file = item["download_info"].get("archive_info")
        if file is None:  # a folder: our own package
            continue
        name, version = item["metadata"]["name"], item["metadata"]["version"]
        digest = (file.get("hashes") or {}).get("sha256")
        if digest is None:
            sys.exit(f"hash_constraints.py: pip knows no SHA-256 of {name} {version}")
        lines.append(f"{name}=={version} \\\n    --hash=sha256:{digest}")
    return sorted(lines, key=str.lower)


def main(target: Path, extras: list[str]) -> None:
    """Write the file, or leave the one that is there if pip fails."""
    with tempfile.TemporaryDirectory() as folder:
        lines = hashed_lines(resolve(",".join(extras or ["all"]), Path(folder) / "report.json"))
    where = f"Python {platform.python_version()}, {platform.system()}, {platform.machine()}"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(
        f"# {where}; extras: {', '.join(extras or ['all'])}\n" + "\n".join(lines) + "\n", encoding="utf-8"
    )
    print(f"{target}: {len(lines)} files for {where}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
