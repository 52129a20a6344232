"""Equal files of versions lie once; each version keeps its own, whatever becomes of the others."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from cl.errors import IntegrityError
from cl.stores.hard_links import (
    LINKED_BYTES,
    SHARED_BYTES,
    copy_or_link_folder,
    remove_unfinished_links,
    share_equal_files,
    share_files,
)
from cl.stores.manifest import check_manifest, write_manifest

BASE, HEAD, RECORD = "encoder/frozen.safetensors", "head.safetensors", "history.json"


def seal(folder: Path, head: bytes, base: bytes = b"b" * LINKED_BYTES) -> Path:
    for name, content in {BASE: base, HEAD: head, RECORD: b"{}"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    write_manifest(folder)
    return folder


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return seal(tmp_path / "first", b"1" * SHARED_BYTES)


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return seal(tmp_path / "second", b"2" * SHARED_BYTES)


def refuse(code: int) -> object:
    def link(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return link


def test_what_two_versions_have_in_common_lies_once_and_the_rest_stays(first, second, tmp_path) -> None:
    assert share_equal_files(second, [first], tmp_path) == LINKED_BYTES
    assert (first / BASE).samefile(second / BASE) and not (first / HEAD).samefile(second / HEAD)
    check_manifest(first)
    check_manifest(second)
    assert share_equal_files(second, [first], tmp_path) == 0, "there is nothing left to share"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]


def test_an_equal_file_of_another_name_is_shared_too(first, tmp_path) -> None:
    other = tmp_path / "other"
    (other / "base").mkdir(parents=True)
    shutil.copy(first / BASE, other / "base" / "model.safetensors")
    write_manifest(other)
    share_equal_files(other, [first], tmp_path)
    assert (other / "base" / "model.safetensors").samefile(first / BASE)


def test_a_version_outlives_the_one_that_it_shares_with(first, second, tmp_path) -> None:
    share_equal_files(second, [first], tmp_path)
    shutil.rmtree(first)
    check_manifest(second)
    assert (second / BASE).stat().st_nlink == 1


def test_a_damaged_twin_is_not_taken(first, second, tmp_path) -> None:
    (first / BASE).write_bytes(b"x" * LINKED_BYTES)
    assert share_equal_files(second, [first], tmp_path) == 0
    check_manifest(second)


def test_a_change_in_place_is_found_in_both_versions(first, second, tmp_path) -> None:
    share_equal_files(second, [first], tmp_path)
    (first / BASE).write_bytes(b"x" * LINKED_BYTES)
    for folder in (first, second):
        with pytest.raises(IntegrityError, match=f"{BASE} was changed"):
            check_manifest(folder)


def test_a_folder_without_a_manifest_shares_nothing_and_does_no_harm(first, second, tmp_path) -> None:
    (first / "manifest.json").write_text("[")
    assert share_equal_files(second, [first, tmp_path / "gone"], tmp_path) == 0
    check_manifest(second)


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP])
def test_where_no_link_can_be_made_there_are_copies(first, second, tmp_path, monkeypatch, code) -> None:
    monkeypatch.setattr(os, "link", refuse(code))
    assert share_equal_files(second, [first], tmp_path) == 0
    check_manifest(copy_or_link_folder(second, tmp_path / "copy"))
    assert (tmp_path / "copy" / BASE).stat().st_nlink == 1


def test_a_process_killed_before_it_replaces_a_file_leaves_both_whole(first, second, tmp_path, monkeypatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", die)
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)  # a killed process does not tidy up
    with pytest.raises(KeyboardInterrupt):
        share_equal_files(second, [first], tmp_path)
    monkeypatch.undo()
    check_manifest(first)
    check_manifest(second)
    assert (first / BASE).stat().st_nlink == 2
    remove_unfinished_links(tmp_path)
    assert (first / BASE).stat().st_nlink == 1, "nothing else keeps the bytes of a deleted version"


def test_a_copy_of_a_stored_version_has_its_weights_and_texts_of_its_own(first, tmp_path) -> None:
    copy = copy_or_link_folder(first, tmp_path / "copy")
    assert (copy / BASE).samefile(first / BASE) and (copy / HEAD).samefile(first / HEAD)
    for name in (RECORD, "manifest.json"):
        assert not (copy / name).samefile(first / name) and (copy / name).read_bytes() == (first / name).read_bytes()
    (copy / RECORD).write_bytes(b"edited")
    check_manifest(first)


def test_files_of_two_folders_are_shared_where_they_are_equal(tmp_path) -> None:
    files = {"a": b"same" * 2_000, "b": b"same" * 2_000, "c": b"else" * 2_000}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    pairs = [(tmp_path / "a", tmp_path / "b"), (tmp_path / "a", tmp_path / "c"), (tmp_path / "a", tmp_path / "gone")]
    assert share_files(pairs, tmp_path) == 8_000
    assert (tmp_path / "a").samefile(tmp_path / "b") and not (tmp_path / "a").samefile(tmp_path / "c")
    assert {name: (tmp_path / name).read_bytes() for name in files} == files


def test_a_symbolic_link_in_a_store_is_followed_not_linked(first, tmp_path) -> None:
    target = tmp_path / "elsewhere.safetensors"
    (first / BASE).rename(target)
    (first / BASE).symlink_to(target)
    copy = copy_or_link_folder(first, tmp_path / "copy")
    assert not (copy / BASE).is_symlink() and not (copy / BASE).samefile(target)
