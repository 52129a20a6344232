"""Dockerfile and compose.yaml, as far as files can be checked: no container engine is asked.

That the composition works is shown by `tests/e2e/test_composition.py`, which runs the same services without containers.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import cl
from cl.commands.demo import demo_configuration
from cl.config.yaml import read_yaml
from cl.extras import EXTRA_OF
from tests.contract.test_distribution import EXTRAS
from tests.support.composition import OURS, in_order, services
from tests.support.repository import ROOT

DOCKERFILE = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = services()
KEYS = {
    "image", "build", "command", "environment", "volumes", "ports", "depends_on", "healthcheck", "restart", "deploy",
}  # fmt: skip
CONDITIONS = {"service_completed_successfully", "service_healthy"}
ONCE = {"secrets", "bucket", "demo"}
READ_BY_IMAGES = {
    "POSTGRES_USER", "POSTGRES_PASSWORD_FILE", "MINIO_ROOT_USER_FILE", "MINIO_ROOT_PASSWORD_FILE",
}  # fmt: skip
READ_BY_LIBRARIES = {"PGPASSFILE", "AWS_DEFAULT_REGION", "AWS_SHARED_CREDENTIALS_FILE", "AWS_ENDPOINT_URL"}
"""libpq, asyncpg and botocore; the composition's run shows that they do."""
SETTINGS = ROOT / "deploy" / "settings.yaml"
by_service = pytest.mark.parametrize("name", sorted(SERVICES))


def commands(name: str) -> list[list[str]]:
    """Return the words of each command that a service runs: its own, and those in a line for a shell."""
    words = SERVICES[name].get("command", [])
    if words[:2] != ["sh", "-c"]:
        return [words] if words else []
    return [shlex.split(part.strip().removeprefix("exec ")) for part in re.split(r"&&|\|\||;", words[2])]


@by_service
def test_a_service_has_only_keys_that_compose_knows_and_an_image_of_one_version(name) -> None:
    service = SERVICES[name]
    assert set(service) <= KEYS
    _, _, tag = service["image"].partition(":")
    assert re.match(r"(RELEASE\.)?\d+[.-]\d+", tag), f"{service['image']} is not pinned"
    assert service["image"].startswith(OURS) == ("build" in service)


def test_our_image_has_the_version_of_the_package() -> None:
    assert {one["image"] for one in SERVICES.values() if one["image"].startswith(OURS)} == {OURS + cl.__version__}


@pytest.mark.parametrize("image", re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
def test_the_image_begins_with_a_python_of_one_version_that_is_admitted(image) -> None:
    version = re.match(r"python:(\d+)\.(\d+)\.\d+-slim-\w+$", image)
    assert version is not None
    assert (3, 11) <= (int(version[1]), int(version[2])) <= (3, 14)


@by_service
def test_a_service_waits_for_what_it_needs_and_what_is_waited_for_can_answer(name) -> None:
    for other, wanted in SERVICES[name].get("depends_on", {}).items():
        assert wanted["condition"] in CONDITIONS
        assert (wanted["condition"] == "service_healthy") == ("healthcheck" in SERVICES[other]), f"{name}: {other}"


def test_no_services_wait_for_each_other() -> None:
    assert len(in_order(SERVICES)) == len(SERVICES)
    with pytest.raises(AssertionError, match=r"wait for each other: \['a', 'b'\]"):
        in_order({"a": {"depends_on": {"b": {}}}, "b": {"depends_on": {"a": {}}}, "c": {}})


@by_service
def test_what_runs_on_is_checked_and_restarted_and_what_runs_once_is_neither(name) -> None:
    service = SERVICES[name]
    assert ("restart" in service) == (name not in ONCE)
    if name not in ONCE | {"learner"}:  # the learner listens on nothing: Prefect watches its runs
        assert service["healthcheck"]["test"][0] == "CMD"
        assert {"interval", "timeout", "retries"} <= set(service["healthcheck"])


@pytest.mark.parametrize("words", [one for name in SERVICES for one in commands(name) if one[0] == "cl"], ids=" ".join)
def test_every_command_of_ours_parses(words) -> None:
    from cl.cli.main import cl as group

    command = group.commands[words[1]]
    with command.make_context(words[1], words[2:]) as context:
        assert context.params


def test_there_are_commands_of_ours() -> None:
    assert {one[1] for name in SERVICES for one in commands(name) if one[0] == "cl"} >= {"demo", "schedule", "serve"}


@pytest.mark.parametrize("words", [["mlflow", "server"], ["prefect", "server", "start"]], ids=" ".join)
def test_the_commands_of_both_servers_are_in_the_composition(words) -> None:
    assert any(words in commands(name) for name in SERVICES)


def sources_of(package: str, *patterns: str) -> Iterator[str]:
    """Yield the text of files of an installed package, without importing it."""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None
    for pattern in patterns:
        for path in sorted(Path(spec.origin).parent.glob(pattern)):
            yield path.read_text(encoding="utf-8")


def known_variables() -> set[str]:
    """Return the variables that MLflow and Prefect read, and those that our settings name."""
    mlflow = "\n".join(sources_of("mlflow", "environment_variables.py", "cli/__init__.py", "utils/cli_args.py"))
    known = {"PREFECT_API_URL", *re.findall(r"\bMLFLOW_\w+", mlflow)}
    for text in sources_of("prefect", "settings/models/server/*.py"):
        sections = re.findall(r"build_settings_config\(\s*\(([^)]*)\)", text)
        fields = re.findall(r"^    (\w+): ", text, re.MULTILINE)
        for section in sections:
            prefix = "_".join(["PREFECT", *re.findall(r"\w+", section)]).upper()
            known |= {f"{prefix}_{field.upper()}" for field in fields}
    return known | set(re.findall(r"env:(\w+)", SETTINGS.read_text(encoding="utf-8")))


def test_every_variable_is_read_by_something() -> None:
    known = known_variables() | READ_BY_IMAGES | READ_BY_LIBRARIES
    used = {variable for service in SERVICES.values() for variable in service.get("environment", {})}
    assert len(used) > 15
    assert not used - known, sorted(used - known)
    assert not {"MLFLOW_HOSTS", "PREFECT_SERVER_API_HOSTS", "TRACKING"} & known
    assert set(re.findall(r"\$\{?([A-Z_]+)", yaml.safe_dump(COMPOSE))) == {"TORCH_INDEX"}


def test_every_build_argument_is_read() -> None:
    declared = set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE))
    given = {key for service in SERVICES.values() for key in service.get("build", {}).get("args", {})}
    assert given == declared and all(f"${{{name}:" in DOCKERFILE for name in declared)


def copied() -> list[str]:
    """Return what the Dockerfile copies out of the repository."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


@pytest.mark.parametrize("source", copied())
def test_every_file_that_is_copied_exists_and_is_sent_to_the_engine(source) -> None:
    assert (ROOT / source).exists()
    admitted = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert any(source == one or source.startswith(one) for one in admitted), f".dockerignore leaves out {source}"


def test_the_image_has_all_that_the_wheel_is_built_from() -> None:
    project = yaml.safe_dump(sorted(copied()))
    for needed in ("pyproject.toml", "README.md", "LICENSE", "constraints.txt", "cl/", "flows/"):
        assert needed in project


def test_the_image_has_the_extras_that_its_services_need() -> None:
    (asked,) = re.findall(r"'\.\[([a-z0-9,]+)\]'", DOCKERFILE)
    extras = set(asked.split(","))
    assert extras <= set(EXTRAS)
    text = yaml.safe_dump(SERVICES) + SETTINGS.read_text()
    needs = {"psycopg2": "postgresql+psycopg2", "s3fs": "import s3fs", "dvc_s3": "dvc_remote: s3://"}
    assert all(mark in text for mark in needs.values())
    assert {EXTRA_OF[package] for package in needs} <= extras and "demo" in extras


@by_service
def test_every_file_that_is_mounted_exists_and_every_volume_is_declared(name) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = volume.split(":")[0]
        assert (ROOT / source).is_file() if source.startswith("./") else source in COMPOSE["volumes"], volume
    assert not [volume for volume in COMPOSE["volumes"] if f"{volume}:" not in yaml.safe_dump(SERVICES)]


@by_service
def test_folders_for_our_volumes_are_in_the_image_and_belong_to_its_user(name) -> None:
    made = re.search(r"install --directory --owner perennial ([^\n]+)", DOCKERFILE)
    assert made is not None and "USER perennial" in DOCKERFILE
    if SERVICES[name]["image"].startswith(OURS):
        mounted = [volume.split(":")[1] for volume in SERVICES[name].get("volumes", [])]
        assert set(mounted) <= set(made[1].split())


@by_service
def test_no_secret_is_in_a_file_and_ports_are_open_to_this_machine_alone(name) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if re.search(r"PASSWORD|SECRET|TOKEN|(?<!PUBLIC)_KEY", variable):
            assert variable.endswith("_FILE") and value.startswith("/srv/secrets/"), variable
        assert not re.search(r"://[^/@\s]+:[^/@\s]+@", str(value)), f"{variable} holds a password"
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_the_settings_of_the_composition_are_valid_and_change_nothing_else() -> None:
    raw = read_yaml(demo_configuration(SETTINGS))
    assert raw["stores"]["artifacts"] is None and raw["name"] == "fernhill" and raw["data"]["label"] == "intent"
    same = read_yaml(demo_configuration(None))
    assert {key: value for key, value in raw.items() if key not in ("stores", "serve")} == same
    wanted = {value[4:] for value in raw["stores"].values() if str(value).startswith("env:")}
    assert wanted <= set(COMPOSE["x-clients"])


def test_secrets_are_made_once_and_belong_to_nobody_else(tmp_path) -> None:
    script, folder = ROOT / "deploy" / "make_secrets.sh", tmp_path / "secrets"
    for _ in range(2):
        subprocess.run([script, folder], check=True)
        made = {path.name: path.read_text() for path in folder.iterdir()}
    other = tmp_path / "other"
    subprocess.run([script, other], check=True)
    assert made["postgres_password"] != (other / "postgres_password").read_text()
    assert made["pgpass"] == f"postgres:5432:*:perennial:{made['postgres_password']}\n"
    assert made["store_password"] in made["aws"] and re.fullmatch(r"[0-9a-f]{48}", made["store_password"])
    assert made["store_password"] != made["postgres_password"]
    assert {(folder / name).stat().st_mode & 0o777 for name in ("pgpass", "aws")} == {0o600}


def test_the_file_for_gpus_adds_to_services_that_there_are() -> None:
    more = yaml.safe_load((ROOT / "deploy" / "gpu.yaml").read_text(encoding="utf-8"))["services"]
    assert set(more) <= set(SERVICES) and all(set(one) == {"deploy"} for one in more.values())
