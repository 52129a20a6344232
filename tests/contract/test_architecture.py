"""The rules that keep the structure: imports go downward, nothing heavy at import, mlflow/ shadows nothing."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import subprocess
import sys
from pathlib import Path

from tests.support.repository import ROOT

# The layers of DESIGN.md, from the top down: a package imports only what stands in a line below its own.
LAYERS = """
cli, project
commands, testing
flows, serving
lifecycle, monitoring, backtesting
cycle, revision
promotion, compression
registry, search
training, drift, evaluation, ingestion, reports
models, stores, decision, gating
config, tasks
plugins, statistics, process
records, extras
errors, redaction, sample, heavy
"""
DEPTH = {name: depth for depth, line in enumerate(LAYERS.strip().splitlines()) for name in line.split(", ")}
OUTSIDE = {
    "dvc": ("cl/stores/data/dvc.py",),
    "mlflow": ("cl/stores/mlflow/",),
    "prefect": ("flows/",),
    "evidently": ("cl/drift/evidently_report.py",),
    "click": ("cl/cli/",),
}


def part_of(module: str) -> str:
    """Return the package or module of cl/ that a module belongs to, or ``flows``."""
    first, *rest = module.split(".")
    return rest[0] if first == "cl" and rest else first


def sources() -> list[Path]:
    return sorted([*ROOT.glob("cl/**/*.py"), *ROOT.glob("flows/*.py")])


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


@functools.cache
def imports_of(path: Path) -> frozenset[str]:
    """Return the modules that a file imports anywhere, also inside functions and for types alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if module_path(name) else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return frozenset(found)


def module_path(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def upward_imports(module: str, imports: set[str] | frozenset[str]) -> list[str]:
    """Return what is wrong with the imports of a module, a line each."""
    here = part_of(module)
    if here not in DEPTH:
        return [f"{module} has no layer; add it to LAYERS"]
    return [
        f"{module} must not import {imported}"
        for imported in sorted(imports)
        if imported.split(".")[0] in ("cl", "flows") and imported not in ("cl", "cl.__version__")
        if (there := part_of(imported)) != here and DEPTH.get(there, -1) <= DEPTH[here]
    ]


def circle_in(graph: dict[str, frozenset[str]]) -> list[str]:
    """Return modules that import one another in a circle, the first one found; [] where there is none."""
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> list[str]:
        if module in path:
            return path[path.index(module) :]
        if module in done or module not in graph:
            return []
        for imported in sorted(graph[module]):
            if found := walk(imported, [*path, module]):
                return found
        done.add(module)
        return []

    return next((found for module in graph if (found := walk(module, []))), [])


def graph() -> dict[str, frozenset[str]]:
    """Return what each module imports; a package's own __init__ is no import of the files below it."""
    found = {}
    for path in sources():
        module = module_of(path)
        found[module] = frozenset(one for one in imports_of(path) if not module.startswith(f"{one}.")) - {module}
    return found


def test_imports_go_downward() -> None:
    modules = {module_of(path): imports_of(path) for path in sources()}
    assert len(modules) > 300
    wrong = [line for module, imports in modules.items() if module != "cl" for line in upward_imports(module, imports)]
    assert not wrong, "\n".join(wrong)


def test_an_import_that_goes_upward_is_named() -> None:
    assert upward_imports("cl.records.cycle", {"cl.lifecycle", "json"}) == [
        "cl.records.cycle must not import cl.lifecycle"
    ]
    assert upward_imports("cl.training.train", {"cl.drift.detect"}) == [
        "cl.training.train must not import cl.drift.detect"
    ]
    assert upward_imports("cl.nowhere", set()) == ["cl.nowhere has no layer; add it to LAYERS"]


def test_no_modules_import_one_another_in_a_circle() -> None:
    assert circle_in({"a": frozenset({"b"}), "b": frozenset({"c"}), "c": frozenset({"b"})}) == ["b", "c"]
    assert circle_in(graph()) == []


def test_the_package_shows_at_most_35_entries() -> None:
    entries = {path.name for path in (ROOT / "cl").iterdir() if not path.name.startswith((".", "__"))}
    assert len(entries) <= 35, sorted(entries)


def test_each_outside_package_has_one_door() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {package}"
        for path in sources()
        for package, doors in OUTSIDE.items()
        if not str(path.relative_to(ROOT)).startswith(doors)
        and any(imported == package or imported.startswith(f"{package}.") for imported in imports_of(path))
    ]
    assert not wrong, "\n".join(wrong)


def test_files_stay_small() -> None:
    long = {
        str(path.relative_to(ROOT)): lines for path in sources() if (lines := len(path.read_text().splitlines())) > 400
    }
    assert not long


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from cl.cli.main import cl\n"
        "from click.testing import CliRunner; assert CliRunner().invoke(cl, ['--help']).exit_code == 0\n"
        "heavy = {'torch', 'transformers', 'mlflow', 'prefect', 'evidently', 'pandas', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_configuration_is_read_without_what_computes() -> None:
    code = (
        "import sys; from cl import plugins; from cl.config import Config\n"
        "for kind in plugins.KINDS:\n"
        "    for origin in plugins.origins(kind):\n"
        "        if origin.distribution == 'built in' and origin.name != 'serving':\n"  # which only a command chooses
        "            plugins.find(kind, origin.name)\n"
        "Config(); print(sorted({'torch', 'pandas', 'numpy', 'scipy', 'pyarrow', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_flow_shadows_a_package() -> None:
    """A worker loads a flow by its file, which puts flows/ itself before everything that is installed."""
    code = "import sys; from importlib.util import find_spec; print([one for one in sys.argv[1:] if find_spec(one)])"
    names = [path.stem for path in ROOT.glob("flows/*.py") if path.stem != "__init__"]
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_the_folder_mlflow_does_not_shadow_the_package() -> None:
    assert not list((ROOT / "mlflow").rglob("*.py"))
    code = "import mlflow; print(mlflow.__version__, mlflow.__file__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    version, path = done.stdout.split()
    assert version == importlib.metadata.version("mlflow")
    assert ROOT not in Path(path).parents or ".venv" in path
