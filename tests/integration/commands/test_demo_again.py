"""`cl demo` for the second time: it says what to do, and replaces only what it has made."""

from __future__ import annotations

import pytest

from cl.commands.demo import MARK, check_replaceable, remove_demo
from cl.commands.init import scaffold
from cl.errors import BusyError, InputError
from cl.stores.files import write_text
from tests.support.command import command


@pytest.fixture
def demo(tmp_path):
    project = scaffold(tmp_path / "demo")
    write_text(project.work / MARK, "")
    return project


def test_the_second_run_names_the_commands_that_go_on(demo) -> None:
    said = command("demo", "--dir", str(demo.root))
    assert said.code == 2 and demo.config.exists()
    assert f"cl status -p {demo.root}" in said.err and f"cl demo --dir {demo.root} --fresh" in said.err


def test_a_project_that_is_no_demo_is_never_replaced(tmp_path) -> None:
    project = scaffold(tmp_path / "mine")
    for more in ([], ["--fresh"]):
        said = command("demo", "--dir", str(project.root), *more)
        assert said.code == 2 and "name a new folder" in said.err and project.config.exists()


def test_a_link_to_a_demo_is_not_followed(demo, tmp_path) -> None:
    (tmp_path / "link").symlink_to(demo.root)
    assert command("demo", "--dir", str(tmp_path / "link"), "--fresh").code == 2 and demo.config.exists()


@pytest.mark.parametrize(
    "setting", ["ledger_uri: postgresql://db/cl", "tracking_uri: env:SERVER", "ledger_uri: sqlite:////elsewhere/l.db"]
)
def test_a_demo_whose_versions_are_elsewhere_is_not_replaced(demo, setting) -> None:
    demo.config.write_text(f"name: demo\nstores: {{{setting}, artifacts: null}}\n", encoding="utf-8")
    with pytest.raises(InputError, match="in stores outside of this folder"):
        check_replaceable(demo.root, fresh=True)


def test_wrong_settings_remove_nothing(demo, tmp_path) -> None:
    (tmp_path / "settings.yaml").write_text("seeed: 1\n", encoding="utf-8")
    said = command("demo", "--dir", str(demo.root), "--fresh", "--settings", str(tmp_path / "settings.yaml"))
    assert said.code == 2 and "did you mean 'seed'?" in said.err and demo.config.exists()


def test_a_demo_at_work_is_not_removed_and_an_idle_one_is(demo) -> None:
    check_replaceable(demo.root, fresh=True)
    with demo.lock(), pytest.raises(BusyError):
        remove_demo(demo.root)
    assert demo.config.exists()
    remove_demo(demo.root)
    assert not demo.root.exists()
