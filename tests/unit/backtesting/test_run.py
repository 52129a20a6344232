from __future__ import annotations

import torch

from cl.backtesting.run import RunSpec, computing_versions, run, run_identity
from cl.extras import DISTRIBUTION


def test_a_run_leaves_as_many_threads_as_it_found(tmp_path) -> None:
    before = torch.get_num_threads()
    spec = RunSpec(
        label="naive",
        policy="always",
        config={"no": "such key"},
        stream=str(tmp_path),
        experiences=["a"],
        folder=str(tmp_path / "run"),
        threads=before + 1,
    )
    assert run(spec).failure is not None
    assert torch.get_num_threads() == before


def test_another_version_of_what_computes_is_another_run(tiny_config) -> None:
    config, versions = tiny_config(), computing_versions()
    same = run_identity(config, "always", "stream", ["a"], versions=versions)
    assert run_identity(config, "always", "stream", ["a"], versions=dict(reversed(versions.items()))) == same
    assert set(versions) == {DISTRIBUTION, "torch", "transformers"}
    for name in versions:
        assert run_identity(config, "always", "stream", ["a"], versions=versions | {name: "0.0.1"}) != same
