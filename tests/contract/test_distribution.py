"""What pip installs: one name everywhere, extras that exist, and each optional package in the extra that brings it."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cl.extras import DISTRIBUTION, EXTRA_OF, FORMER_DISTRIBUTIONS, install_command
from tests.support.repository import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
FOR_DEVELOPERS = {"dev", "docs"}
OURS = {"perennial", "perennial-ml", "perennialml", "continual-learning", "cl", "flows"}
"""Names under which somebody might ask for this package, of which pip knows one."""
COMMAND = re.compile(r"\b(?:pip3? install|pipx install|uv add|uv pip install|poetry add|conda install)\b([^\n|;)]*)")
WORD = re.compile(r"(?:(?<=^)|(?<=[\s'\"`]))([A-Za-z][\w.-]*)(?:\[[\w, -]*\])?(?:[=<>~!]=?[\w.*]+)?(?=$|[\s'\"`,.:])")
PINNED = re.compile(r"(?<![\w./-])(perennial|perennial_ml)(?:\[[a-z, -]+\]|[=~>]=\s*\d)")
"""A requirement on another name, outside a command too: in a requirements file, a Dockerfile or a message."""
ASKED = re.compile(rf"(?:{DISTRIBUTION}|(?<=[\s'\"`])\.)\[([a-z0-9, ]+)\]")


def texts() -> Iterator[tuple[Path, str]]:
    """Yield every file of the repository that is text, but this one."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and path != Path(__file__):
            try:
                yield path, path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def wrong_names(text: str) -> list[str]:
    """Return our packages that a text installs or requires under a name that is not the distribution's."""
    words = [word for command in COMMAND.finditer(text) for word in WORD.findall(command[1])]
    return [word for word in words if word in OURS - {DISTRIBUTION}] + [match[1] for match in PINNED.finditer(text)]


def needed(extra: str) -> set[str]:
    """Return the distributions that an extra brings, those of the extras that it names included."""
    requirements = [Requirement(line) for line in EXTRAS[extra]]
    inner = [needed(name) for one in requirements if one.name == DISTRIBUTION for name in one.extras]
    return {canonicalize_name(one.name) for one in requirements if one.name != DISTRIBUTION}.union(*inner)


def core() -> set[str]:
    """Return the distributions that come without any extra."""
    return {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}


def with_dependencies(names: set[str]) -> set[str]:
    """Return distributions and all that comes with them here, without optional parts."""
    seen, todo = set[str](), set(names)
    while todo:
        seen |= todo
        lines = [line for name in todo for line in requirements_of(name)]
        todo = {canonicalize_name(one.name) for one in map(Requirement, lines) if applies(one)} - seen
    return seen


def requirements_of(name: str) -> list[str]:
    try:
        return importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []


def applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def imported(path: Path) -> set[str]:
    """Return the top-level packages that a file imports anywhere."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def test_the_constant_is_the_name_in_pyproject() -> None:
    assert PROJECT["name"] == DISTRIBUTION
    assert DISTRIBUTION not in FORMER_DISTRIBUTIONS


def test_no_text_installs_a_package_of_ours_under_another_name() -> None:
    wrong = [f"{path.relative_to(ROOT)}: {name}" for path, text in texts() for name in wrong_names(text)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("pip install perennial", ["perennial"]),
        ("`pip install 'perennial[demo]'`", ["perennial", "perennial"]),
        ("RUN python -m pip install --quiet perennial==0.1.0", ["perennial", "perennial"]),
        ("uv add cl", ["cl"]),
        ("perennial_ml>=1", ["perennial_ml"]),
        ("  - perennial==0.1.0", ["perennial"]),
        ("pip install 'perennial-ml[demo]'; then open perennial", []),
        ("pip install '.[demo]'", []),
        ("pip install ./acme-gates", []),
        ("perennial: keeps learning", []),
    ],
)
def test_what_the_rule_looks_for_it_finds(text, names) -> None:
    assert wrong_names(text) == names


def test_every_extra_that_a_text_names_exists() -> None:
    asked = [
        (path.relative_to(ROOT), extra.strip())
        for path, text in texts()
        if path.suffix != ".toml"
        for match in ASKED.finditer(text)
        for extra in match[1].split(",")
    ]
    assert len(asked) > 15
    assert not [one for one in asked if one[1] not in EXTRAS and not one[0].match("tests/**")]


@pytest.mark.parametrize("package", sorted(EXTRA_OF))
def test_the_extra_that_is_named_for_a_package_brings_it(package) -> None:
    providers = importlib.metadata.packages_distributions().get(package)
    if providers is None:
        pytest.skip(f"{package} is not installed here: {install_command(EXTRA_OF[package])}")
    assert with_dependencies(needed(EXTRA_OF[package])) & {canonicalize_name(one) for one in providers}


@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - FOR_DEVELOPERS - {"all"}))
def test_all_has_every_extra_and_so_have_developers(extra) -> None:
    assert needed(extra) <= needed("all") <= needed("dev")


def test_the_demo_has_what_its_report_needs() -> None:
    assert needed("report") < needed("demo")


def test_no_extra_repeats_what_is_always_installed() -> None:
    assert not core() & needed("all")


def test_without_extras_everything_that_the_code_imports_is_there_but_what_extras_bring() -> None:
    installed = with_dependencies(core()) | {canonicalize_name(DISTRIBUTION), *FORMER_DISTRIBUTIONS}
    providers, missing = importlib.metadata.packages_distributions(), set()
    for path in [*ROOT.glob("cl/**/*.py"), *ROOT.glob("flows/*.py")]:
        for name in imported(path):
            owners = {canonicalize_name(one) for one in providers.get(name, [])}
            if owners and not owners & installed:
                missing.add(name)
    assert {"evidently", "optuna", "onnx"} <= missing <= set(EXTRA_OF)
