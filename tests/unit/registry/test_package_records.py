"""What a version's record says of packages and code."""

from __future__ import annotations

import cl
from cl.extras import DISTRIBUTION
from cl.registry.register import git_commit, package_versions
from cl.registry.reproduce import _comparable, _differences
from cl.stores.mlflow.environment import requirements


def test_our_package_is_recorded_and_required_under_the_name_that_pip_knows() -> None:
    assert package_versions()[DISTRIBUTION] == cl.__version__
    assert requirements()[0] == f"{DISTRIBUTION}=={cl.__version__}"
    assert "perennial" not in package_versions()


def test_a_record_of_an_earlier_name_does_not_differ_for_its_name() -> None:
    now = package_versions()
    earlier = {"perennial" if name == DISTRIBUTION else name: version for name, version in now.items()}
    assert _differences(_comparable({**earlier, "evidently": "0.7.20"}), now) == {}
    older = _differences(_comparable({**earlier, "perennial": "0.0.9"}), now)
    assert older == {DISTRIBUTION: ["0.0.9", cl.__version__]}


def test_without_git_there_is_no_commit(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(tmp_path) is None
