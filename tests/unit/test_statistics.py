from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import chi2

from cl.statistics import (
    alpha_spending,
    deflated_p,
    dispersion,
    format_p_value,
    holm,
    monte_carlo_p,
    simulated_p,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("p_values", "rejected"),
    [
        ([], []),
        ([0.05], [True]),
        ([0.03, 0.03], [False, False]),
        ([0.04, 0.02], [True, True]),
        ([0.01, 0.04, 0.03, 0.005], [True, False, False, True]),
        ([0.9, 0.0001, 0.9, 0.9], [False, True, False, False]),
    ],
)
def test_holm_rejects_step_by_step(p_values, rejected) -> None:
    assert holm(p_values, alpha=0.05) == rejected


def test_a_simulated_p_value_is_never_zero_and_counts_ties() -> None:
    assert monte_carlo_p(5.0, np.zeros(999)) == 0.001
    assert monte_carlo_p(0.3, np.array([0.1 + 0.2, 0.3])) == 1.0


def test_wilsons_interval_is_the_textbooks_and_stays_between_0_and_1() -> None:
    interval = wilson_interval(0.1, 20)
    assert (interval.low, interval.high) == (pytest.approx(0.0279, abs=1e-3), pytest.approx(0.3010, abs=1e-3))
    assert wilson_interval(1.0, 10).high == pytest.approx(1.0) and wilson_interval(0.0, 10).low == pytest.approx(0.0)
    assert wilson_interval(1.0, 10).high <= 1.0 and wilson_interval(0.0, 10).low >= 0.0


def test_p_values_are_shown_as_people_write_them() -> None:
    assert [format_p_value(0.00001), format_p_value(0.0123), format_p_value(1.0)] == [
        "p < 0.0001",
        "p = 0.012",
        "p = 1",
    ]


def test_all_shares_of_alpha_add_up_to_it() -> None:
    shares = [alpha_spending(0.05, check) for check in range(1, 200_001)]
    assert all(later < earlier for earlier, later in pairwise(shares))
    rest = 0.05 / 2.109742801236892 / np.log(200_001)  # the sum of those to come is about the integral
    assert sum(shares) + rest == pytest.approx(0.05, rel=1e-4)


def test_a_simulated_p_value_goes_on_where_counting_ends() -> None:
    draws = np.random.default_rng(0).chisquare(5, size=4_999)
    for observed in (4.0, 11.0):
        assert simulated_p(observed, draws) == monte_carlo_p(observed, draws)
    for observed in (25.0, 40.0):
        assert 0.2 < simulated_p(observed, draws) / chi2.sf(observed, 5) < 5
    assert simulated_p(30.0, np.zeros(99)) == monte_carlo_p(30.0, np.zeros(99))
    assert simulated_p(1e9, draws) > 0


def test_simulated_p_values_below_a_thousandth_come_up_once_in_a_thousand() -> None:
    rng, level = np.random.default_rng(0), 1e-3
    logs = np.linspace(-4.5, -2, 4_000)  # true p-values, evenly spaced in the logarithm, weighed by their chance
    chances = np.diff(10**logs)
    found = np.array([simulated_p(chi2.isf(10**one, 9), rng.chisquare(9, size=4_999)) for one in logs[1:]])
    assert (10 ** logs[0] + chances[found <= level].sum()) / level == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("true", [1e-4, 1e-5])
@pytest.mark.parametrize("freedom", [3, 9, 50])
def test_the_curve_is_within_a_factor_of_four_of_chi_squareds_exact_tail(true, freedom) -> None:
    rng, observed = np.random.default_rng(0), chi2.isf(true, freedom)
    found = np.array([simulated_p(observed, rng.chisquare(freedom, size=4_999)) for _ in range(300)])
    assert true / 4 < np.quantile(found, 0.01) and np.quantile(found, 0.99) < 4 * true
    assert np.median(found) == pytest.approx(true, rel=0.15)


def test_quiet_checks_that_scatter_as_their_test_says_change_nothing() -> None:
    rng = np.random.default_rng(0)
    spreads = [dispersion(rng.uniform(size=30)) for _ in range(300)]
    assert np.mean([spread > 1 for spread in spreads]) < 0.2 and np.mean(spreads) < 1.05
    assert dispersion(rng.uniform(0, 0.01, size=7)) == 1.0, "seven checks are too few to learn from"


def test_quiet_checks_that_scatter_three_times_as_widely_are_learnt_from() -> None:
    wide = np.random.default_rng(0).normal(size=400) ** 2 * 3
    spread = dispersion(chi2.sf(wide, 1))
    assert 2 < spread < 3.2
    calm = [deflated_p(float(chi2.sf(one, 1)), spread) for one in wide]
    assert np.mean(np.array(calm) <= 0.05) < 0.09 < np.mean(chi2.sf(wide, 1) <= 0.05)


def test_calming_never_makes_a_p_value_smaller() -> None:
    assert all(deflated_p(p, spread) >= p for p in (1e-9, 0.01, 0.5, 1.0) for spread in (1.0, 1.5, 40.0))
