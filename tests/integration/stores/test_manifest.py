"""Versions that somebody has meddled with: each is refused in one line that names the file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import save_file

from cl.errors import IntegrityError
from cl.stores.files import sha256
from cl.stores.manifest import MANIFEST, check_manifest, check_wrapping, wrapping_digests, write_manifest


@pytest.fixture
def version(tmp_path) -> Path:
    import numpy as np

    folder = tmp_path / "version"
    (folder / "encoder").mkdir(parents=True)
    save_file({"weight": np.zeros(3)}, folder / "head.safetensors")
    (folder / "encoder" / "config.json").write_text('{"model_type": "bert"}')
    return folder


def plant(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(b"\x80\x04.")


def promise(folder: Path, name: str, digest: str = "0" * 64) -> None:
    promised = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**promised, name: digest}))


@pytest.mark.parametrize(
    ("meddle", "told"),
    [
        (plant("model.pkl"), r"model\.pkl has a suffix that no version may hold"),
        (plant("encoder/pytorch_model.bin"), r"pytorch_model\.bin has a suffix"),
        (plant("state.pt"), r"state\.pt has a suffix"),
        (plant("encoder/modeling.py"), r"modeling\.py has a suffix"),
        (lambda v: (v / "encoder/config.json").write_text('{"auto_map": {"AutoModel": "m.M"}}'), "custom code"),
        (lambda v: (v / "encoder/config.json").write_text("{"), r"config\.json is not valid JSON"),
        (lambda v: (v / "link.json").symlink_to("/etc/hostname"), r"link\.json is a symbolic link"),
        (lambda v: (v / "elsewhere").symlink_to("/etc"), "elsewhere is a symbolic link"),
    ],
)
def test_what_no_version_holds_is_refused_though_its_manifest_names_it(version, meddle, told) -> None:
    meddle(version)
    with pytest.raises(IntegrityError, match=told):
        write_manifest(version)
    files = [path for path in version.rglob("*") if path.is_file()]
    (version / MANIFEST).write_text(json.dumps({str(path.relative_to(version)): sha256(path) for path in files}))
    with pytest.raises(IntegrityError, match=told) as error:
        check_manifest(version)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("meddle", "told"),
    [
        (lambda v: promise(v, "../../key.json"), r"\.\./\.\./key\.json points outside the version"),
        (lambda v: promise(v, "/etc/key.json"), r"/etc/key\.json points outside"),
        (lambda v: promise(v, "more.json"), r"more\.json is missing"),
        (lambda v: (v / "more.json").write_text("{}"), r"more\.json is not in the manifest"),
        (lambda v: os.truncate(v / "head.safetensors", 20), r"head\.safetensors was changed after it was saved"),
        (lambda v: (v / MANIFEST).write_text("["), r"manifest\.json is damaged"),
        (lambda v: (v / MANIFEST).write_text("[]"), r"manifest\.json is damaged"),
        (lambda v: (v / MANIFEST).unlink(), r"no manifest\.json"),
    ],
)
def test_a_sealed_version_that_was_changed_is_refused(version, meddle, told) -> None:
    write_manifest(version)
    check_manifest(version)
    meddle(version)
    with pytest.raises(IntegrityError, match=told) as error:
        check_manifest(version)
    assert "\n" not in str(error.value)


def test_a_file_beside_the_learner_is_only_what_mlflow_puts_there(version, tmp_path) -> None:
    (tmp_path / "MLmodel").write_text("flavors: {}")
    check_wrapping(tmp_path, version, None)
    (tmp_path / "python_model.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(IntegrityError, match=r"python_model\.pkl was not registered with the version"):
        check_wrapping(tmp_path, version, None)


@pytest.mark.parametrize(
    ("meddle", "told"),
    [
        (lambda folder: (folder / "pyfunc_model.py").write_text("import os"), r"pyfunc_model\.py was changed"),
        (lambda folder: (folder / "MLmodel").write_text("python_model: x"), "MLmodel was changed"),
        (lambda folder: (folder / "MLmodel").unlink(), "MLmodel is missing"),
        (lambda folder: (folder / "code").mkdir() or (folder / "code" / "sitecustomize.py").touch(), "not registered"),
        (lambda folder: (folder / "weights").write_bytes(b"\x80\x04."), "weights was not registered"),
    ],
)
def test_what_mlflow_puts_around_a_learner_is_pinned(version, tmp_path, meddle, told) -> None:
    (tmp_path / "MLmodel").write_text("flavors: {}")
    (tmp_path / "pyfunc_model.py").write_text("pass")
    pinned = wrapping_digests(tmp_path, version)
    (tmp_path / "registered_model_meta").write_text("model_name: shop")
    check_wrapping(tmp_path, version, pinned)
    meddle(tmp_path)
    with pytest.raises(IntegrityError, match=told):
        check_wrapping(tmp_path, version, pinned)


def test_weights_and_manifest_that_were_changed_together_are_not_the_registered_ones(version) -> None:
    write_manifest(version)
    pinned = sha256(version / MANIFEST)
    check_manifest(version, pinned)
    weights = next(version.rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes() + b"x")
    (version / MANIFEST).unlink()
    write_manifest(version)
    check_manifest(version)
    with pytest.raises(IntegrityError, match=r"manifest\.json is not the one that was registered"):
        check_manifest(version, pinned)


def test_what_a_killed_process_has_left_half_written_is_no_part_of_a_version(version) -> None:
    (version / f".{MANIFEST}.123.draft").write_text("{")
    (version / "encoder" / ".config.json.123.draft").write_text("{")
    write_manifest(version)
    check_manifest(version)
    assert not list(version.rglob("*.draft"))
