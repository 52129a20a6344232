"""What was changed in MLflow by hand: an experiment, a run or the registered model that was deleted or renamed.

Each change is one sentence with its remedy. What MLflow still knows can be put back; what it has removed for good is
made again from what the versions and this machine hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from cl.errors import StoreError

if TYPE_CHECKING:
    from mlflow import MlflowClient

MLFLOW = "mlflow"
"""In place of a version, for `cl audit --repair`: put MLflow back."""
REPAIR = f"cl audit --repair {MLFLOW} --why TEXT"
REMEDY = f"to put it back: {REPAIR}"
LEARN_AGAIN = "restore it from a backup, or learn all data again: cl audit --repair none --why TEXT, then cl run"
NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""MLflow's error codes for a model, an alias or an alias's version that does not exist."""
HEAD = "cl.ledger_head"  # tag of the model
State = Literal["active", "deleted", "renamed", "removed", "new"]


@dataclass(frozen=True)
class OutsideChange:
    """What was changed, and what to do."""

    what: str
    remedy: str

    @property
    def line(self) -> str:
        """Both in one sentence."""
        return f"{self.what}; {self.remedy}"


@dataclass(frozen=True)
class ExperimentState:
    """What became of a model's experiment; ``name`` is what it is called now."""

    state: State
    id: str | None = None
    name: str = ""

    def describe(self, model: str) -> str | None:
        """Return what happened, with the remedy; None: nothing."""
        if self.state in ("active", "new"):
            return None
        happened = f"was renamed to '{self.name}'" if self.state == "renamed" else f"was {self.state}"
        if self.state == "removed":
            happened += " for good, with the records of all cycles"
            return f"MLflow's experiment '{model}' {happened}; to begin another with what this machine holds: {REPAIR}"
        return f"MLflow's experiment '{model}' {happened}; {REMEDY}"


def find_experiment(client: MlflowClient, model: str) -> ExperimentState:
    """Return the experiment of a model: where it is not under its name, what the runs of the versions say."""
    experiment = client.get_experiment_by_name(model)
    if experiment is not None:
        return ExperimentState(
            "active" if experiment.lifecycle_stage == "active" else "deleted", _id(experiment), model
        )
    made_by = [version.run_id for version in client.search_model_versions(f"name='{model}'") if version.run_id]
    for run in made_by:
        if (home := _home_of(client, run)) is not None:
            return ExperimentState("renamed", _id(home), home.name)
    return ExperimentState("removed" if made_by else "new")


def find_renamed_model(client: MlflowClient, model: str) -> str | None:
    """Return the name that a registered model has now: one with our ledger's head, made by runs of our experiment."""
    for other in client.search_registered_models():
        if other.name == model or HEAD not in dict(other.tags):
            continue
        versions = client.search_model_versions(f"name='{other.name}'")
        homes = (_home_of(client, version.run_id) for version in versions if version.run_id)
        if any(home is not None and home.name == model for home in homes):
            return str(other.name)
    return None


def describe_missing_model(client: MlflowClient, model: str) -> OutsideChange:
    """Return what became of a registered model that has no version."""
    renamed = find_renamed_model(client, model)
    if renamed is not None:
        return OutsideChange(f"MLflow's registered model '{model}' was renamed to '{renamed}'", REMEDY)
    return OutsideChange(
        f"the registry holds no version of '{model}': the registered model was deleted in MLflow, or its database was "
        "lost",
        LEARN_AGAIN,
    )


def describe_missing_version(client: MlflowClient, model: str, version: str) -> str:
    """Return that a version is not there, and what to do."""
    there = sorted(int(info.version) for info in client.search_model_versions(f"name='{model}'"))
    if not there:
        return describe_missing_model(client, model).line
    names = ", ".join(map(str, there))
    remedy = f"to let another serve: cl rollback VERSION; there are: {names}"
    return f"version {version} of '{model}' is not in MLflow's registry; {remedy}"


def put_back(client: MlflowClient, model: str) -> list[str]:
    """Restore or rename what MLflow still has, and return what was done."""
    done = []
    if (renamed := _lost_name(client, model)) is not None:
        client.rename_registered_model(renamed, model)
        done.append(f"the registered model '{renamed}' is called '{model}' again")
    experiment = find_experiment(client, model)
    if experiment.state == "deleted" and experiment.id:
        client.restore_experiment(experiment.id)
        done.append(f"the experiment '{model}' was restored")
    elif experiment.state == "renamed" and experiment.id:
        client.rename_experiment(experiment.id, model)
        done.append(f"the experiment '{experiment.name}' is called '{model}' again")
    return done


def restore_runs(client: MlflowClient, experiment: str, condition: str) -> list[str]:
    """Restore the deleted runs of an experiment and return their names."""
    from mlflow.entities import ViewType

    deleted = client.search_runs([experiment], condition, run_view_type=ViewType.DELETED_ONLY)
    for run in deleted:
        client.restore_run(run.info.run_id)
    return [str(run.info.run_name) for run in deleted]


def is_missing(error: Exception) -> bool:
    """Tell whether MLflow says that something is not there."""
    return getattr(error, "error_code", None) in NOT_THERE


def refuse_changed(state: ExperimentState, model: str) -> str:
    """Return the id of an experiment that can be used.

    Raises:
        StoreError: it was deleted or renamed; the message says how to put it back.
    """
    problem = state.describe(model)
    if problem is not None or state.id is None:
        raise StoreError(problem or f"MLflow has no experiment '{model}'")
    return state.id


def _lost_name(client: MlflowClient, model: str) -> str | None:
    if client.search_model_versions(f"name='{model}'"):
        return None
    renamed = find_renamed_model(client, model)
    empty = client.search_registered_models(f"name='{model}'") if renamed else []
    for registered in empty:  # made since, and it holds nothing
        client.delete_registered_model(registered.name)
    return renamed


def _home_of(client: MlflowClient, run: str) -> Any:
    """Return the experiment of a run, whether either was deleted or not; None: MLflow has removed the run."""
    try:
        return client.get_experiment(client.get_run(run).info.experiment_id)
    except Exception as error:  # MLflow's, which is not imported for this
        if not is_missing(error):
            raise
        return None


def _id(experiment: Any) -> str:
    return str(experiment.experiment_id)
