"""What type checkers see of the lazy names in __init__.py; a test checks that both say the same."""

from cl.config import Config as Config
from cl.config import load_config as load_config
from cl.drift.detectors import Detector as Detector
from cl.errors import BusyError as BusyError
from cl.errors import ConfigError as ConfigError
from cl.errors import ConflictError as ConflictError
from cl.errors import DiskError as DiskError
from cl.errors import DivergedError as DivergedError
from cl.errors import InputError as InputError
from cl.errors import IntegrityError as IntegrityError
from cl.errors import LedgerRowError as LedgerRowError
from cl.errors import PerennialError as PerennialError
from cl.errors import PluginError as PluginError
from cl.errors import RefusedError as RefusedError
from cl.errors import SourceError as SourceError
from cl.errors import StoreError as StoreError
from cl.errors import UnknownPluginError as UnknownPluginError
from cl.errors import UnservableError as UnservableError
from cl.gating.gates import Gate as Gate
from cl.ingestion.sources import Source as Source
from cl.models.tunings import Tuning as Tuning
from cl.project import Project as Project
from cl.project import backtest as backtest
from cl.records import Cycle as Cycle
from cl.records import Decision as Decision
from cl.records import Drift as Drift
from cl.records import Evaluation as Evaluation
from cl.records import Experience as Experience
from cl.records import GateReport as GateReport
from cl.records import LedgerEntry as LedgerEntry
from cl.records import Promotion as Promotion
from cl.records import Training as Training
from cl.records import Validation as Validation
from cl.records import Verdict as Verdict
from cl.records import VersionInfo as VersionInfo
from cl.registry.versions import LoadedVersion as LoadedVersion
from cl.registry.versions import load_version as load_version
from cl.tasks import Task as Task
from cl.training.buffers import Buffer as Buffer
from cl.training.strategies import Strategy as Strategy

__version__: str
__all__: list[str]
_MODULES: dict[str, tuple[str, ...]]
