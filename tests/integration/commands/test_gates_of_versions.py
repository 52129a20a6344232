"""`cl gates VERSION` of versions that no cycle has made; tests/e2e/test_distil_by_hand.py has derived ones."""

from __future__ import annotations


def test_of_a_version_that_something_else_registered_no_verdicts_are_kept(shop) -> None:
    said = shop.cl("gates", "2")
    assert said.code == 2 and said.err.strip().endswith(
        "version 2 of 'shop' has no stored verdicts: its run was removed from MLflow, or it was not registered by "
        "Perennial"
    )


def test_of_a_version_whose_files_were_removed_the_reason_is_told(shop) -> None:
    shop.stores.registry.tag_version("2", "cl.withdrawn", "its files were removed")
    assert shop.cl("gates", "2").err.strip().endswith("has no stored verdicts: its files were removed")


def test_a_version_that_is_not_there_is_told_with_those_that_are(shop) -> None:
    said = shop.cl("gates", "9")
    assert said.code == 2 and "no version 9 of 'shop'; there are: 1, 2, 3, 4, 5" in said.err
