"""Every exception that Perennial raises on purpose.

::

    PerennialError                  exit code 1, one line, no traceback
    ├── InputError                  exit code 2: what a person gave is wrong
    │   ├── ConfigError             a key or value of the configuration
    │   ├── SourceError             a file, table or column that cannot be read
    │   ├── UnknownPluginError      a name in the configuration that no plug-in has
    │   └── PluginError             a plug-in of another package that cannot be used
    ├── RefusedError                exit code 3: a gate said no
    ├── BusyError                   another cycle holds this project
    ├── DiskError                   the disk is full, or a file cannot be read or written
    ├── StoreError                  MLflow, DVC or the ledger did not do what it must
    │   ├── IntegrityError          a file's digest is not the one in its manifest
    │   │   └── LedgerRowError      a row of the ledger that cannot be read
    │   └── ConflictError           the champion is no longer the one that was compared with
    ├── UnservableError             a registered version that does not load, or does not answer
    └── DivergedError               a loss or a weight that is not finite: training stopped
"""


class PerennialError(Exception):
    """Something went wrong that the message explains; the command ends with exit code 1."""

    exit_code = 1


class InputError(PerennialError):
    """What a person gave (a path, a value, a file) cannot be used; exit code 2."""

    exit_code = 2


class ConfigError(InputError):
    """A key or a value of the configuration is wrong."""


class SourceError(InputError):
    """A file, a table or a column cannot be read as rows."""


class UnknownPluginError(InputError):
    """A name in the configuration belongs to no plug-in of its kind."""


class PluginError(InputError):
    """A plug-in of another package cannot be imported, or is none."""


class RefusedError(PerennialError):
    """A gate said no to what was asked for; exit code 3."""

    exit_code = 3


class BusyError(PerennialError):
    """Another process is running a cycle on this project."""


class DiskError(PerennialError):
    """The disk is full, or the operating system refuses a file."""


class StoreError(PerennialError):
    """A store (MLflow, DVC, the ledger) is out of reach or refused."""


class IntegrityError(StoreError):
    """A file does not match the digest that its manifest promises."""


class LedgerRowError(IntegrityError):
    """A row of the ledger does not hold an entry: another program wrote it, or it was damaged.

    Attributes:
        row: its sequence number, or its position, from 1, where that is none.
        why: what is wrong with it.
    """

    def __init__(self, message: str, *, row: int = 0, why: str = "") -> None:
        super().__init__(message)
        self.row, self.why = row, why


class ConflictError(StoreError):
    """The champion moved since the challenger was compared with it."""


class UnservableError(PerennialError):
    """A registered version cannot be loaded in a fresh process, or does not answer there."""


class DivergedError(PerennialError):
    """A loss, a penalty or a weight stopped being a finite number.

    Attributes:
        rows: learnt until then, each as often as it was.
        seconds: of training until then.
    """

    def __init__(self, message: str, *, rows: int = 0, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.rows, self.seconds = rows, seconds
