"""Where things are kept."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from cl.config.section import Section
from cl.redaction import holds_password


class StoreSettings(Section):
    """Where things are kept; the defaults need no server. Relative paths are inside the project.

    A value `env:NAME` is taken from the environment, so that a password stays there.
    """

    tracking_uri: str = Field(
        "sqlite:///mlflow/mlflow.db",
        description="MLflow server or database; `env:NAME` takes the environment's",
    )
    artifacts: str | None = Field(
        "mlflow/artifacts", description="MLflow artifact location of a new experiment; null: the server's own"
    )
    ledger_uri: str = Field(
        "sqlite:///mlflow/ledger.db",
        description="SQLAlchemy URL of the promotion ledger; `env:NAME` takes the environment's",
    )
    ledger_key: str | None = Field(
        None,
        description="`env:NAME` of the key that signs each entry of the ledger (HMAC-SHA256); an entry that is not "
        "signed with it is refused",
    )
    dvc_remote: str = Field(".cl/dvc-remote", description="DVC remote for data/: a folder, s3://, ssh://, ...")

    @field_validator("dvc_remote")
    @classmethod
    def _no_password_in_the_remote(cls, url: str) -> str:
        if holds_password(url):
            raise ValueError(
                "a password here would be written into .dvc/config, which Git keeps; take it out, and run "
                "`dvc remote modify --local perennial password ...`"
            )
        return url

    @field_validator("ledger_key")
    @classmethod
    def _key_stays_in_the_environment(cls, key: str | None) -> str | None:
        if key is not None and not key.startswith("env:"):
            raise ValueError("a key does not belong into a file; name the environment variable that holds it, env:NAME")
        return key

    @model_validator(mode="after")
    def _artifacts_where_others_can_read_them(self) -> StoreSettings:
        if objection := self.objection(self.tracking_uri):
            raise ValueError(objection)
        return self

    def objection(self, tracking_uri: str) -> str | None:
        """Return why the artifacts cannot lie where they shall, with a tracking server at this URI; None: they can."""
        local = self.artifacts is not None and "://" not in self.artifacts
        if local and tracking_uri.startswith(("http://", "https://")):
            return (
                f"artifacts: '{self.artifacts}' is a folder on this machine, which a tracking server's other users "
                "cannot read; set artifacts: null (the server's own) or a URI such as s3://bucket/path"
            )
        return None
