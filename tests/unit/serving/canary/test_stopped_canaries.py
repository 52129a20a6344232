from __future__ import annotations

from cl.serving.canary.stopping import StoppedCanaries


def test_a_version_is_given_up_once_and_tried_afresh_when_its_alias_comes_back(tmp_path) -> None:
    one, other = StoppedCanaries(tmp_path), StoppedCanaries(tmp_path)
    assert "2" not in one and one.attempt("2") == 1
    assert one.add("2", "slow") and not other.add("2", "slow as well")
    assert other.reasons()["2"]["why"] == "slow"
    other.keep("2")
    assert "2" in one
    one.keep(None)
    other.keep(None)
    assert "2" not in other and other.attempt("2") == 2 and other.attempt("3") == 1
