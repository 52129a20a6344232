"""The command line, run in this process."""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import pytest

from cl.cli.main import main


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str


def command(*arguments: str, **environment: str) -> Said:
    """Run a command as the program does, exit code and all; keyword arguments are environment variables."""
    out, err, code, before = io.StringIO(), io.StringIO(), 0, dict(os.environ)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["cl", *arguments])
        os.environ.update(environment)
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:  # the command line sets what other tests must not see
            os.environ.clear()
            os.environ.update(before)
    assert "Traceback" not in err.getvalue(), err.getvalue()
    return Said(code, out.getvalue(), err.getvalue())
