"""What an installed package needs besides Python files is named in pyproject.toml, and nothing is named in vain."""

from __future__ import annotations

import subprocess
import tomllib

from tests.support.repository import ROOT


def test_every_file_of_the_package_is_installed() -> None:
    listed = subprocess.run(["git", "ls-files", "cl"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = {name for name in listed.stdout.splitlines() if not name.endswith(".py")}
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["cl"]
    matches = {pattern: {str(path.relative_to(ROOT)) for path in (ROOT / "cl").glob(pattern)} for pattern in patterns}
    assert files and not files - set().union(*matches.values())
    assert all(files & found for found in matches.values()), "each pattern installs a file"
