"""Statistics for drift checks and gates: corrected and simulated p-values, intervals, and sample sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cl.heavy import np
from cl.records import Record

Kind = Literal["inputs", "labels", "new_labels", "predictions", "performance"]
Z_95 = 1.959964
TIE = 1e-9
FIRST, ROUNDS = 199, 4_999
CELLS = 4_000_000
"""Maximum number of bootstrap counts in memory at once."""
ENOUGH_EXTREME = 10
UNREMARKABLE = 0.1
SMALLEST_P = 1e-12
MIN_QUIET_CHECKS = 8
SUM_OF_SHARES = 2.109742801236892
"""The sum of 1 / (n log² n) over all n from 2."""


class Interval(Record):
    """A 95 % confidence interval of a mean."""

    low: float
    high: float


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Return which hypotheses to reject if the chance of any false alarm may be alpha (Holm, 1979).

    >>> holm([0.02, 0.001, 0.6], alpha=0.05)
    [True, True, False]
    """
    rejected = [False] * len(p_values)
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[index] > alpha / (len(p_values) - rank):
            break
        rejected[index] = True
    return rejected


def alpha_spending(alpha: float, check: int) -> float:
    """Return the share of alpha that drift check number ``check``, from 1, may spend.

    The shares of an infinite sequence sum to alpha, so that the chance of any false alarm, ever, is at most alpha,
    however the checks depend on each other: they share a reference, so evidence must not be multiplied over checks as
    if they were independent (alpha-spending: Tian and Ramdas, 2021, section 2). The shares fall almost as slowly as a
    convergent sum allows.

    >>> bool(sum(alpha_spending(0.05, check) for check in range(1, 100_000)) < 0.05)
    True
    """
    result: float = alpha / (SUM_OF_SHARES * (check + 1) * np.log(check + 1) ** 2)
    return result


def dispersion(quiet: Sequence[float]) -> float:
    """Return how much wider statistics scatter than their test assumes, from p-values of quiet checks; at least 1.

    This is the median of the p-values, as chi-squared with one degree of freedom, over its expected median (genomic
    control: Devlin and Roeder, 1999). A lower 90 % confidence bound (order statistics) replaces the median, so that a
    few small p-values by chance do not make a detector less sensitive.

    >>> [round(dispersion(quiet), 1) for quiet in ([0.9, 0.5, 0.1] * 10, [0.5, 0.05, 0.01] * 10)]
    [1.0, 8.4]
    """
    from scipy.stats import binom, chi2

    if len(quiet) < MIN_QUIET_CHECKS:
        return 1.0
    statistics = np.sort(chi2.isf(np.clip(quiet, SMALLEST_P, 1.0), 1))
    bound = statistics[max(0, int(binom.ppf(0.1, len(quiet), 0.5)) - 1)]
    return max(1.0, float(bound / chi2.median(1)))


def deflated_p(p_value: float, spread: float) -> float:
    """Return the p-value of a statistic that scatters ``spread`` times as widely as its test assumes.

    >>> deflated_p(0.01, 1.0), round(deflated_p(0.01, 2.0), 3)
    (0.01, 0.069)
    """
    from scipy.stats import chi2

    return p_value if spread <= 1 else float(chi2.sf(chi2.isf(max(p_value, SMALLEST_P), 1) / spread, 1))


def alarm_bound(level: float, tests: int, spread: float) -> float:
    """Return the p-value below which one of several tests raises an alarm by itself, after Holm's correction.

    ``spread`` is as for `deflated_p`, whose inverse this applies.

    >>> alarm_bound(0.01, 5, 1.0), alarm_bound(0.01, 5, 2.0) < 0.001
    (0.002, True)
    """
    from scipy.stats import chi2

    bound = level / tests
    return bound if spread <= 1 else float(chi2.sf(chi2.isf(bound, 1) * spread, 1))


def is_explained(p_value: float, expected: float) -> bool:
    """Return whether a p-value is larger than 90 % of those that the unchanged effect would give.

    A large p-value alone does not show that the effect is gone: with fewer rows, chance may turn the same effect into a
    large p-value. ``expected`` is the typical p-value of the unchanged effect.

    >>> [is_explained(p_value, expected) for p_value, expected in ((0.6, 0.03), (0.2, 0.03), (0.2, 0.001))]
    [True, False, True]
    """
    from scipy.stats import chi2, norm

    observed_z, expected_z = (float(np.sqrt(chi2.isf(max(p, SMALLEST_P), 1))) for p in (p_value, expected))
    return bool(observed_z <= expected_z - norm.isf(0.1))


def monte_carlo_p(observed: float, simulated: np.ndarray) -> float:
    """Return the share of outcomes as extreme as the observed one, including itself (Phipson and Smyth, 2010).

    >>> monte_carlo_p(3.0, np.array([1.0, 2.0, 4.0]))
    0.5
    """
    extreme = int((simulated >= observed - TIE * max(1.0, abs(observed))).sum())
    return (1 + extreme) / (1 + len(simulated))


def is_unremarkable(observed: float, simulated: np.ndarray) -> bool:
    """Return whether a few simulated statistics show that simulating more is pointless.

    A p-value above 0.1 is no alarm at any level (the idea of sequential Monte Carlo tests: Besag and Clifford, 1991).
    """
    return monte_carlo_p(observed, simulated) > UNREMARKABLE


def simulated_p(observed: float, simulated: np.ndarray) -> float:
    """Return the p-value of a statistic among simulated ones, including far into the tail.

    If ten or more are as extreme, it is their share. If fewer are, it is the tail of a Pearson type III curve with the
    mean, variance and skewness of the simulated statistics (as in Knijnenburg et al., 2009, and Minas and Montana,
    2014, for permutations): a shared alpha needs p-values that no simulation could count. Then only the curve is used:
    the smaller of two estimates of a p-value would be biased downwards.
    """
    from scipy.stats import pearson3, skew

    counted = monte_carlo_p(observed, simulated)
    if counted * (1 + len(simulated)) > ENOUGH_EXTREME:
        return counted
    spread = float(simulated.std())
    if spread <= TIE * max(1.0, abs(float(simulated.mean()))):
        return counted
    curve = float(pearson3.sf((observed - simulated.mean()) / spread, max(0.0, float(skew(simulated)))))
    return max(curve, SMALLEST_P)


def mean_drop_p(before: np.ndarray, after: np.ndarray, seed: int) -> float:
    """Return the p-value of a drop in the mean, by permutation of the sides (Pitman, 1937).

    Each permutation draws the smaller side from all rows, so that a large other side costs nothing. The simulation
    stops early if a few draws show no sign of a drop.
    """
    rng = np.random.default_rng(seed)
    pooled, size = np.concatenate([before, after]), min(len(before), len(after))
    sign = -1.0 if len(after) == size else 1.0
    observed = sign * float((after if len(after) == size else before).sum())

    def simulated(rounds: int) -> np.ndarray:
        drawn = (rng.choice(len(pooled), size, replace=False) for _ in range(rounds))
        return sign * np.array([pooled[rows].sum() for rows in drawn])

    first = simulated(FIRST)
    return simulated_p(observed, first if is_unremarkable(observed, first) else simulated(ROUNDS))


def bootstrap_means(values: np.ndarray, *, resamples: int, seed: int) -> np.ndarray:
    """Return the means of bootstrap samples.

    Equal values are drawn together by their multinomial counts: a hundred thousand rows scored 0 or 1 cost as much as
    three. Values are rounded to a hundredth of a percentage point, which bounds the number of distinct values.
    """
    distinct, counts = np.unique(np.round(values, 4), return_counts=True)
    rng, total = np.random.default_rng(seed), len(values)
    chunk = max(1, CELLS // len(distinct))
    sizes = [min(chunk, resamples - start) for start in range(0, resamples, chunk)]
    return np.concatenate([rng.multinomial(total, counts / total, size=size) @ distinct / total for size in sizes])


def loss_p(differences: np.ndarray, *, resamples: int, seed: int) -> float:
    """Return the p-value of a loss: how often the bootstrap mean of paired differences is not negative (Efron, 1979).

    A gained row is added before the draw, as the rule of three adds a lost row: otherwise a handful of rows that all
    fell would seem certain, for no draw could contain a row that rose. Far into the tail, `simulated_p` follows a
    fitted curve, since a corrected level needs p-values that no number of draws could count.
    """
    if not len(differences) or not (differences < 0).any():
        return 1.0
    means = bootstrap_means(np.append(differences, 1.0), resamples=resamples, seed=seed)
    return max(simulated_p(0.0, means), 0.5 ** int(np.count_nonzero(differences)))


def sign_p(differences: np.ndarray) -> float:
    """Return the exact p-value of a loss from the signs of paired differences (McNemar, 1947, for scores of 0 and 1).

    >>> sign_p(np.array([-1.0] * 5 + [0.0] * 40))
    0.03125
    """
    from scipy.stats import binom

    lost, gained = int((differences < 0).sum()), int((differences > 0).sum())
    return float(binom.cdf(gained, lost + gained, 0.5)) if lost + gained else 1.0


def rows_to_decide(differences: np.ndarray, level: float) -> int | None:
    """Return how many rows like these would show a significant loss at this level; None if their mean is no loss.

    By the normal approximation, with this many rows the mean is as many standard errors below zero as the level
    requires.

    >>> rows_to_decide(np.array([-1.0] * 3 + [0.0] * 40), 0.05)
    37
    """
    from scipy.stats import norm

    mean, spread = float(differences.mean()), float(differences.std())
    return int(np.ceil((norm.isf(level) * spread / mean) ** 2)) if mean < 0 else None


def wilson_interval(mean: float, rows: int) -> Interval:
    """Return Wilson's 95 % interval (Wilson, 1927); for fractional scores it is too wide, not too narrow."""
    centre = (mean + Z_95**2 / (2 * rows)) / (1 + Z_95**2 / rows)
    half_width = Z_95 * np.sqrt(mean * (1 - mean) / rows + Z_95**2 / (4 * rows**2)) / (1 + Z_95**2 / rows)
    return Interval(low=max(0.0, float(centre - half_width)), high=min(1.0, float(centre + half_width)))


def format_p_value(p_value: float) -> str:
    """Return a p-value as text: ``p = 0.012`` or ``p < 0.0001``."""
    return "p < 0.0001" if p_value < 0.0001 else f"p = {p_value:.2g}"
