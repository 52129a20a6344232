"""Databases, artifacts and remotes."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, field_validator, model_validator

from cl.config.secrets import FROM_ENVIRONMENT
from cl.config.section import Section
from cl.redaction import holds_password

PLACES: Any = {
    "stores": True,
    "registry": True,
    "triggers": True,
    "serve": True,
    "data": {"source"},
    "drift": {"traffic"},
    "pipeline": {"tracking_uri"},
}
"""Where things are and who is notified: no influence on results, but these may hold addresses and secrets."""
VARIABLE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")


class StoreSettings(Section):
    """Databases, artifacts and remotes; the defaults need no server. Relative paths are inside the project.

    `env:NAME` takes a value from the environment, so that no password is written to the file.
    """

    tracking_uri: str = Field(
        "sqlite:///mlflow/mlflow.db",
        description="MLflow tracking server or database; `env:NAME`: from the environment",
    )
    artifacts: str | None = Field(
        "mlflow/artifacts", description="MLflow artifact location of a new experiment; null: the server's default"
    )
    ledger_uri: str = Field(
        "sqlite:///mlflow/ledger.db",
        description="SQLAlchemy URL of the promotion ledger; `env:NAME`: from the environment",
    )
    ledger_key: str | None = Field(
        None,
        description="`env:NAME`: the environment variable with the key that signs each ledger entry (HMAC-SHA256); "
        "an entry without a valid signature is refused; null: entries are not signed",
    )
    dvc_remote: str = Field(".cl/dvc-remote", description="DVC remote for data/: a folder, s3://, ssh://, ...")

    @field_validator("dvc_remote")
    @classmethod
    def _remote_has_no_password(cls, url: str) -> str:
        if holds_password(url):
            raise ValueError(
                "a password here would be written to .dvc/config, which Git tracks; remove it and run "
                "`dvc remote modify --local perennial password ...`"
            )
        return url

    @field_validator("ledger_key")
    @classmethod
    def _key_stays_in_the_environment(cls, key: str | None) -> str | None:
        if key is not None and not VARIABLE.fullmatch(key):
            raise ValueError("a key does not belong in a file; name the environment variable that holds it, env:NAME")
        return key

    @field_validator("tracking_uri", "ledger_uri", "artifacts", "dvc_remote")
    @classmethod
    def _variable_has_a_name(cls, value: str | None) -> str | None:
        if value is not None and value.startswith(FROM_ENVIRONMENT) and not VARIABLE.fullmatch(value):
            raise ValueError("env: takes the name of an environment variable, in letters, digits and underscores")
        return value

    @model_validator(mode="after")
    def _artifacts_are_reachable(self) -> StoreSettings:
        if objection := self.objection(self.tracking_uri):
            raise ValueError(objection)
        return self

    def objection(self, tracking_uri: str) -> str | None:
        """Return why the artifact location does not work with a tracking server at this URI; None: it works."""
        local = self.artifacts is not None and "://" not in self.artifacts
        if local and tracking_uri.startswith(("http://", "https://")):
            return (
                f"artifacts: '{self.artifacts}' is a local folder, which other users of the tracking server cannot "
                "read; set artifacts: null (the server's default) or a URI such as s3://bucket/path"
            )
        return None
