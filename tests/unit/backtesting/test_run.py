from __future__ import annotations

from cl.backtesting.run import computed_by, identity


def test_another_version_of_what_computes_is_another_run(tiny_config) -> None:
    config, versions = tiny_config(), computed_by()
    same = identity(config, "always", "stream", ["a"], versions=versions)
    assert identity(config, "always", "stream", ["a"], versions=dict(reversed(versions.items()))) == same
    assert set(versions) == {"perennial", "torch", "transformers"}
    for name in versions:
        assert identity(config, "always", "stream", ["a"], versions=versions | {name: "0.0.1"}) != same
