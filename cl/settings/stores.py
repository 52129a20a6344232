"""Where things are kept."""

from __future__ import annotations

from pydantic import Field, model_validator

from cl.settings.section import Section


class StoreSettings(Section):
    """Where things are kept; the defaults need no server. Relative paths are inside the project."""

    tracking_uri: str = Field("sqlite:///mlflow/mlflow.db", description="MLflow tracking server or database")
    artifacts: str | None = Field(
        "mlflow/artifacts", description="MLflow artifact location of a new experiment; null: the server's own"
    )
    ledger_uri: str = Field("sqlite:///mlflow/ledger.db", description="SQLAlchemy URL of the promotion ledger")
    dvc_remote: str = Field(".cl/dvc-remote", description="DVC remote for data/: a folder, s3://, ssh://, ...")

    @model_validator(mode="after")
    def _artifacts_where_others_can_read_them(self) -> StoreSettings:
        local = self.artifacts is not None and "://" not in self.artifacts
        if local and self.tracking_uri.startswith(("http://", "https://")):
            raise ValueError(
                f"artifacts: '{self.artifacts}' is a folder on this machine, which a tracking server's other users "
                "cannot read; set artifacts: null (the server's own) or a URI such as s3://bucket/path"
            )
        return self
