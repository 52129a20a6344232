from __future__ import annotations

from cl.backtesting.run import computing_versions, run_identity
from cl.extras import DISTRIBUTION


def test_another_version_of_what_computes_is_another_run(tiny_config) -> None:
    config, versions = tiny_config(), computing_versions()
    same = run_identity(config, "always", "stream", ["a"], versions=versions)
    assert run_identity(config, "always", "stream", ["a"], versions=dict(reversed(versions.items()))) == same
    assert set(versions) == {DISTRIBUTION, "torch", "transformers"}
    for name in versions:
        assert run_identity(config, "always", "stream", ["a"], versions=versions | {name: "0.0.1"}) != same
