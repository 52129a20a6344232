from __future__ import annotations

from cl.serving import rate_limit
from cl.serving.rate_limit import RateLimit


def test_a_client_may_burst_then_waits_and_no_other_does(monkeypatch) -> None:
    now = 100.0
    monkeypatch.setattr(rate_limit.time, "monotonic", lambda: now)  # type: ignore[attr-defined]
    bounds = RateLimit(10)
    assert [bounds.wait("a") for _ in range(20)] == [0] * 20
    assert 0 < bounds.wait("a") <= 0.11
    assert bounds.wait("b") == 0
    now += 0.5
    assert [bounds.wait("a") == 0 for _ in range(7)] == [True] * 5 + [False] * 2


def test_the_longest_quiet_of_many_clients_is_forgotten() -> None:
    bounds = RateLimit(0.1)
    for number in range(rate_limit.CLIENTS + 10):
        bounds.wait(str(number))
    assert len(bounds._whole_at) == rate_limit.CLIENTS and "0" not in bounds._whole_at
