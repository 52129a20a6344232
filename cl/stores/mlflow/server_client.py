"""Ask a tracking server by MLflow's REST API, for commands that only show what is there.

See `cl.stores.mlflow.database_client` for why MLflow's own client is not used, and for the methods.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cl.stores.connectivity import check_reachable
from cl.stores.mlflow.database_client import ALL, AllRuns, NotInDatabaseError

if TYPE_CHECKING:
    import requests
    from mlflow import MlflowClient

API = "api/2.0/mlflow"
PROXIED = "mlflow-artifacts:/"
SPECIAL = (
    "MLFLOW_TRACKING_AUTH",
    "MLFLOW_TRACKING_AWS_SIGV4",
    "MLFLOW_TRACKING_CLIENT_CERT_PATH",
    "MLFLOW_TRACKING_INSECURE_TLS",
    "MLFLOW_TRACKING_SERVER_CERT_PATH",
    "MLFLOW_WORKSPACE",
    "MLFLOW_ENABLE_WORKSPACES",
)
"""Variables that only MLflow's client understands; with one of them, it is asked."""
CREDENTIALS = Path("~/.mlflow/credentials")
"""Where MLflow's client finds a user and a password, besides the environment."""
SECONDS = 60
RETRIES = 3
PAGE = 1_000
CODES = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}


class ServerRefusalError(Exception):
    """The server answers with an error; ``error_code`` is as MLflow's exceptions have it."""

    def __init__(self, message: str, error_code: str) -> None:
        super().__init__(message)
        self.error_code = error_code


class ServerClient:
    """The reading half of MLflow's client, as `cl.stores.mlflow.database_client.DatabaseClient`.

    Args:
        uri: of the server.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri.rstrip("/")

    def get_experiment_by_name(self, name: str) -> Any:
        """Return an experiment that is called so, active or deleted; None: there is none."""
        try:
            return SimpleNamespace(**self._get("experiments/get-by-name", experiment_name=name)["experiment"])
        except NotInDatabaseError:
            return None

    def get_experiment(self, experiment_id: str) -> Any:
        """Return an experiment, active or deleted.

        Raises:
            NotInDatabaseError: there is none with that id.
        """
        return SimpleNamespace(**self._get("experiments/get", experiment_id=experiment_id)["experiment"])

    def get_run(self, run_id: str) -> Any:
        """Return a run, active or deleted.

        Raises:
            NotInDatabaseError: there is none with that id.
        """
        return _run(self._get("runs/get", run_id=run_id)["run"])

    def search_runs(
        self,
        experiment_ids: Sequence[str],
        filter_string: str = "",
        run_view_type: int = ALL,
        max_results: int = PAGE,
        order_by: Sequence[str] = (),
        page_token: str | None = None,
    ) -> AllRuns:
        """Return the runs of experiments, active and deleted, in the order asked for."""
        del page_token
        assert run_view_type == ALL
        asked = {
            "experiment_ids": list(experiment_ids),
            "filter": filter_string,
            "run_view_type": "ALL",
            "max_results": max_results,
            "order_by": list(order_by),
        }
        runs, token = AllRuns(), ""
        while True:
            page = self._ask("POST", f"{API}/runs/search", json={**asked, "page_token": token}).json()
            runs += map(_run, page.get("runs", []))
            if not (token := page.get("next_page_token", "")):
                return runs

    def search_registered_models(self, filter_string: str | None = None) -> list[Any]:
        """Return the registered models that a condition chooses, or all."""
        models = self._pages("registered-models/search", "registered_models", filter=filter_string or "")
        return [
            SimpleNamespace(
                name=model["name"],
                tags=_mapping(model.get("tags", [])),
                aliases={alias["alias"]: str(alias["version"]) for alias in model.get("aliases", [])},
            )
            for model in models
        ]

    def search_model_versions(self, filter_string: str) -> list[Any]:
        """Return the versions that a condition chooses."""
        return list(map(_version, self._pages("model-versions/search", "model_versions", filter=filter_string)))

    def get_model_version(self, name: str, version: str) -> Any:
        """Return a version.

        Raises:
            NotInDatabaseError: the model has none with that number.
        """
        return _version(self._get("model-versions/get", name=name, version=version)["model_version"])

    def list_artifacts(self, run_id: str, path: str | None = None) -> list[Any]:
        """Return the files and folders directly below a folder of a run."""
        files = self._pages("artifacts/list", "files", run_id=run_id, **({"path": path} if path else {}))
        return [SimpleNamespace(path=file["path"], is_dir=file.get("is_dir", False)) for file in files]

    def download_artifacts(self, run_id: str, path: str, dst_path: str) -> str:
        """Download a file of a run to a folder, and return where it is."""
        location = self.get_run(run_id).info.artifact_uri
        if not location.startswith(PROXIED) or location.startswith(f"{PROXIED}/"):  # not through this server
            return str(self._full.download_artifacts(run_id, path, dst_path))
        stored = location.removeprefix(PROXIED)
        content = self._ask("GET", f"api/2.0/mlflow-artifacts/artifacts/{stored}/{path}").content
        target = Path(dst_path) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return str(target)

    def __getattr__(self, name: str) -> Any:
        """Leave all else to MLflow's client."""
        return getattr(self._full, name)

    @cached_property
    def _full(self) -> MlflowClient:
        from mlflow import MlflowClient

        return MlflowClient(self._uri, self._uri)

    @cached_property
    def _session(self) -> requests.Session:
        import requests
        from urllib3.util import Retry

        session = requests.Session()
        again = Retry(RETRIES, backoff_factor=0.5, status_forcelist=(429, 502, 503, 504), allowed_methods=None)
        for scheme in ("http://", "https://"):
            session.mount(scheme, requests.adapters.HTTPAdapter(max_retries=again))
        user, password = (os.environ.get(f"MLFLOW_TRACKING_{name}") for name in ("USERNAME", "PASSWORD"))
        token = os.environ.get("MLFLOW_TRACKING_TOKEN")
        if user and password:
            session.auth = (user, password)
        elif token:
            session.headers["Authorization"] = f"Bearer {token}"
        return session

    def _pages(self, endpoint: str, field: str, **asked: str) -> Iterator[dict[str, Any]]:
        token: str | None = None
        while True:
            page = self._get(endpoint, **asked, **({"page_token": token} if token else {}))
            yield from page.get(field, [])
            if not (token := page.get("next_page_token")):
                return

    def _get(self, endpoint: str, **asked: str) -> dict[str, Any]:
        result: dict[str, Any] = self._ask("GET", f"{API}/{endpoint}", params=asked).json()
        return result

    def _ask(self, method: str, path: str, **content: Any) -> requests.Response:
        answer = self._session.request(method, f"{self._uri}/{path}", timeout=SECONDS, **content)
        if answer.ok:
            return answer
        try:
            error = answer.json()
            code, message = error["error_code"], error.get("message", "")
        except (ValueError, KeyError, TypeError):
            code, message = CODES.get(answer.status_code, ""), f"HTTP {answer.status_code}: {answer.text[:200]}"
        if code == NotInDatabaseError.error_code:
            raise NotInDatabaseError(message)
        raise ServerRefusalError(message, code)


def read_server(uri: str, store: str) -> ServerClient | None:
    """Return a client that asks a tracking server; None: it is none, or only MLflow's client can reach it.

    Args:
        uri: of MLflow's tracking store.
        store: its name in messages.

    Raises:
        StoreError: the server does not answer.
    """
    if not uri.startswith(("http://", "https://")):
        return None
    if any(os.environ.get(name) for name in SPECIAL) or CREDENTIALS.expanduser().exists():
        return None
    check_reachable(uri, store)
    return ServerClient(uri)


def _run(stored: dict[str, Any]) -> Any:
    info, tags = stored["info"], _mapping(stored.get("data", {}).get("tags", []))
    fields = ("run_id", "run_name", "experiment_id", "lifecycle_stage", "artifact_uri", "start_time")
    return SimpleNamespace(
        info=SimpleNamespace(**{name: info.get(name, "") for name in fields}), data=SimpleNamespace(tags=tags)
    )


def _version(stored: dict[str, Any]) -> Any:
    return SimpleNamespace(
        version=str(stored["version"]),
        creation_timestamp=int(stored["creation_timestamp"]),
        run_id=stored.get("run_id"),
        source=stored.get("source"),
        tags=_mapping(stored.get("tags", [])),
    )


def _mapping(tags: Sequence[dict[str, str]]) -> dict[str, str]:
    return {tag["key"]: tag.get("value", "") for tag in tags}
