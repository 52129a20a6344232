"""data/ on a remote that is no folder: an S3 server and an SSH server, both real, chosen by settings alone."""

from __future__ import annotations

import getpass
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cl.commands.init import scaffold
from cl.config import parse
from cl.errors import StoreError
from cl.stores.project_folder import ProjectFolder, mark_pending
from cl.stores.stores import Stores, open_stores
from tests.support.servers import free_port, until
from tests.support.stores import SECRET

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


def opened(folder: Path, remote: str) -> Stores:
    project = ProjectFolder(folder) if (folder / "cl.yaml").exists() else scaffold(folder, "name: shop\n")
    return open_stores(project, parse({"name": "shop", "stores": {"dvc_remote": remote}}, where="test"))


def keep(stores: Stores) -> str:
    mark_pending(stores.project, "0001-one")
    (stores.project.experiences / "0001-one").mkdir()
    (stores.project.experiences / "0001-one" / "train.txt").write_text("rows")
    return stores.data.commit()


def assert_another_machine_gets_it(tmp_path: Path, remote: str, first: Stores, prepare=lambda stores: None) -> None:
    version = keep(first)
    other = opened(tmp_path / "other", remote)
    prepare(other)
    other.data.restore(version)
    assert (other.project.experiences / "0001-one" / "train.txt").read_text() == "rows"
    assert other.data.current() == version


@pytest.fixture
def bucket(s3, monkeypatch) -> str:
    pytest.importorskip("dvc_s3", reason="DVC reaches S3 with a package of its own: pip install 'perennial-ml[s3]'")
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3.bucket}/shop"


def test_a_bucket_keeps_the_data_and_its_keys_stay_in_the_environment(bucket, tmp_path) -> None:
    first = opened(tmp_path / "first", bucket)
    assert_another_machine_gets_it(tmp_path, bucket, first)
    written = [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert not written
    (tmp_path / "first" / "data" / "more.txt").write_text("more")
    mark_pending(first.project, "0002-two")
    gone = opened(tmp_path / "first", "s3://no-such-bucket/shop")
    with pytest.raises(StoreError) as error:
        gone.data.commit()
    assert "\n" not in str(error.value) and SECRET not in str(error.value)


@pytest.fixture
def host(tmp_path) -> Iterator[tuple[str, Path]]:
    """The address of an SSH server for this user, and the key that it takes."""
    pytest.importorskip("dvc_ssh", reason="DVC reaches SSH with a package of its own: pip install 'perennial-ml[ssh]'")
    if not Path(SSHD).exists():
        pytest.skip("no sshd here: apt-get install openssh-server")
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name]
        subprocess.run(command, check=True)
    port = free_port()
    lines = {
        "ListenAddress": "127.0.0.1",
        "Port": port,
        "HostKey": tmp_path / "host",
        "AuthorizedKeysFile": tmp_path / "user.pub",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "prohibit-password",
        "PasswordAuthentication": "no",
        "Subsystem": "sftp internal-sftp",
    }
    (tmp_path / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in lines.items()))
    if Path("/run").stat().st_uid == 0 and getpass.getuser() == "root":
        Path("/run/sshd").mkdir(exist_ok=True)
    with (tmp_path / "sshd.log").open("w") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", tmp_path / "sshd_config"], stderr=log)
    try:
        said = tmp_path / "sshd.log"
        until(lambda: "listening" in said.read_text() or server.poll() is not None, seconds=20, what="sshd")
        if server.poll() is not None:
            pytest.skip(f"sshd does not start here: {said.read_text().strip()[-200:]}")
        yield f"ssh://{getpass.getuser()}@127.0.0.1:{port}{tmp_path}/remote", tmp_path / "user"
    finally:
        server.terminate()
        server.wait()


def test_a_host_behind_ssh_keeps_the_data(host, tmp_path) -> None:
    remote, key = host
    first = opened(tmp_path / "first", remote)

    def give_key(stores: Stores) -> None:
        """Do what `dvc remote modify --local perennial keyfile KEY` does."""
        stores.data.initialise()
        text = f"['remote \"perennial\"']\n    keyfile = {key}\n"
        (stores.project.root / ".dvc" / "config.local").write_text(text)

    give_key(first)
    assert_another_machine_gets_it(tmp_path, remote, first, prepare=give_key)
    assert str(key) not in (first.project.root / ".dvc" / "config").read_text()


def test_a_password_in_the_remote_is_refused_before_git_keeps_it() -> None:
    with pytest.raises(Exception, match="modify --local") as error:
        parse({"stores": {"dvc_remote": "ssh://me:s3cret@host/rows"}}, where="test")
    assert "s3cret" not in str(error.value)
