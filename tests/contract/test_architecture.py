"""The rules that keep the structure: imports go downward, nothing heavy at import, mlflow/ shadows nothing."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import subprocess
import sys
from pathlib import Path

from tests.support.repository import ROOT

LAYERS = [
    {
        "flows", "cl.cli", "cl.cli_rows", "cl.cli_champion", "cl.cli_audit", "cl.cli_gates", "cl.cli_versions",
        "cl.cli_stores", "cl.cli_triggers", "cl.cli_serve", "cl.cli_tune", "cl.commands", "cl.scaffold", "cl.sample",
        "cl.testing",
    },
    {
        "cl.lifecycle", "cl.start", "cl.waiting", "cl.backtest", "cl.backtesting", "cl.watch", "cl.answer",
        "cl.forget", "cl.unlearn", "cl.reproduce", "cl.collect", "cl.traffic",
        "cl.attempt", "cl.climb", "cl.derive", "cl.tune",
    },
    {
        "cl.ingest", "cl.label", "cl.validate", "cl.drift", "cl.decide", "cl.train", "cl.distil", "cl.dear",
        "cl.control", "cl.evaluate", "cl.gate", "cl.register", "cl.smoke", "cl.promote", "cl.approve", "cl.repair",
        "cl.serving", "cl.lineage", "cl.export",
    },
    {"cl.measures", "cl.moves", "cl.rungs", "cl.estimate", "cl.space"},
    {
        "cl.strategies", "cl.detectors", "cl.gates", "cl.buffers", "cl.sources", "cl.stores", "cl.training",
        "cl.reports", "cl.rows",
    },
    {"cl.tasks", "cl.tunings", "cl.periods", "cl.asking"},
    {"cl.config"},
    {"cl.settings"},
    {"cl.gating"},
    {
        "cl.yaml12",
        "cl.plugins", "cl.complaints", "cl.evidence", "cl.cells", "cl.formats", "cl.descriptors", "cl.where",
        "cl.chain", "cl.standing",
    },
    {"cl.records", "cl.errors", "cl.options", "cl.redact"},
]  # fmt: skip
# A folder's __init__ is its contract: records and an abstract class, which the layer's neighbours may use.
CONTRACTS = {"cl.strategies", "cl.detectors", "cl.gates", "cl.buffers", "cl.sources", "cl.tunings"}
OUTSIDE = {
    "dvc": "cl/stores/dvc.py",
    "mlflow": "cl/stores/mlflow",
    "prefect": "flows/",
    "evidently": "cl/reports/",
}


# What may be imported beside the layers below, and why.
ALLOWED = [
    ("cl.backtest", "cl.backtesting"),  # the stage and what it is made of
    ("cl.backtesting", "cl.climb"),  # an update of a backtest climbs as one of a cycle does
    ("cl.distil", "cl.train"),  # a student is taught by the loop, and saved as what was trained
    ("cl.dear", "cl.lineage"),
    ("cl.lifecycle", "cl.derive"),  # a challenger that is too dear gives way
    ("cl.control", "cl.train"),  # the control arm is an update like any other
    ("cl.lifecycle", "cl.start"),
    ("cl.lifecycle", "cl.climb"),  # an update is one attempt, or a climb of several
    ("cl.lifecycle", "cl.attempt"),
    ("cl.lifecycle", "cl.waiting"),
    ("cl.watch", "cl.waiting"),
    ("cl.promote", "cl.approve"),  # a version that passed may have to wait for a person
    ("cl.lifecycle", "cl.forget"),  # what a removal that was killed has begun is finished first
    ("cl.watch", "cl.forget"),
    ("cl.forget", "cl.unlearn"),
    ("cl.collect", "cl.start"),  # which journals are of no use any more
    ("cl.watch", "cl.lifecycle"),  # a look is the beginning of a cycle
    ("cl.watch", "cl.start"),
    ("cl.traffic", "cl.start"),
    ("cl.cli", "cl.scaffold"),
    ("cl.cli", "cl.commands"),  # commands are the command line, cut into files
    ("cl.cli", "cl.cli_rows"),
    ("cl.cli", "cl.cli_champion"),
    ("cl.cli", "cl.cli_audit"),
    ("cl.cli", "cl.cli_gates"),
    ("cl.cli", "cl.cli_triggers"),
    ("cl.cli", "cl.cli_stores"),
    ("cl.cli", "cl.cli_versions"),
    ("cl.cli", "cl.cli_serve"),
    ("cl.cli", "cl.cli_tune"),
    ("cl.cli_tune", "cl.commands"),
    ("cl.cli_rows", "cl.commands"),
    ("cl.cli_champion", "cl.commands"),
    ("cl.cli_audit", "cl.commands"),
    ("cl.cli_gates", "cl.commands"),
    ("cl.cli_triggers", "cl.commands"),
    ("cl.cli_stores", "cl.commands"),
    ("cl.cli_versions", "cl.commands"),
    ("cl.cli_serve", "cl.commands"),
    ("cl.commands", "cl.scaffold"),
    ("cl.commands", "cl.sample"),
    ("cl.commands", "flows"),  # cl run is the flow
    ("cl.reports", "cl.stores"),  # files are written whole or not at all
    ("cl.training", "cl.stores"),
    ("cl.rows", "cl.sources"),
    ("cl.sources", "cl.stores"),  # what was served is a source too
    ("cl.rows", "cl.stores"),
    ("cl.strategies", "cl.training"),  # EWC needs the Fisher information
]


def part_of(module: str) -> str:
    return "flows" if module.startswith("flows") else ".".join(module.split(".")[:2])


def layer(part: str) -> int:
    return next((depth for depth, names in enumerate(LAYERS) if part in names), -1)


def sources() -> list[Path]:
    return sorted([*ROOT.glob("cl/**/*.py"), *ROOT.glob("flows/*.py")])


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


@functools.cache
def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {
                f"{node.module}.{alias.name}" if node.module in ("cl", "flows") else node.module for alias in node.names
            }
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def upward_imports(module: str, imports: set[str]) -> list[str]:
    """Return what is wrong with the imports of a module, a line each."""
    here = part_of(module)
    if layer(here) < 0:
        return [f"{module} has no layer; add it to LAYERS"]
    return [
        f"{module} must not import {imported}"
        for imported in sorted(imports)
        if imported.startswith(("cl.", "flows"))
        and (there := part_of(imported)) not in (here, "cl.__version__")
        and imported not in CONTRACTS
        and layer(there) <= layer(here)
        and (here, there) not in ALLOWED
    ]


def test_imports_go_downward() -> None:
    modules = {module_of(path): imports_of(path) for path in sources()}
    assert len(modules) > 300
    wrong = [line for module, imports in modules.items() if module != "cl" for line in upward_imports(module, imports)]
    assert not wrong, "\n".join(wrong)


def test_an_import_that_goes_upward_is_named() -> None:
    assert upward_imports("cl.records.cycle", {"cl.lifecycle", "json"}) == [
        "cl.records.cycle must not import cl.lifecycle"
    ]
    assert upward_imports("cl.nowhere", set()) == ["cl.nowhere has no layer; add it to LAYERS"]


def test_each_outside_package_has_one_door() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {package}"
        for path in sources()
        for package, door in OUTSIDE.items()
        if not str(path.relative_to(ROOT)).startswith((door, "cl/serving/pyfunc_model.py"))
        and any(one == package or one.startswith(f"{package}.") for one in imports_of(path))
    ]
    assert not wrong, "\n".join(wrong)


def test_files_stay_small() -> None:
    long = {
        str(path.relative_to(ROOT)): lines for path in sources() if (lines := len(path.read_text().splitlines())) > 400
    }
    assert not long


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from cl.cli import cl\n"
        "from click.testing import CliRunner; assert CliRunner().invoke(cl, ['--help']).exit_code == 0\n"
        "heavy = {'torch', 'transformers', 'mlflow', 'prefect', 'evidently', 'pandas', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_configuration_can_be_read_without_torch(tmp_path) -> None:
    code = "import sys; from cl.config import Config; Config(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


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
