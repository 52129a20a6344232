"""How evidence is weighed: corrected and simulated p-values, an interval for a mean, too few rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from cl.records import Record

Kind = Literal["inputs", "labels", "new_labels", "predictions", "performance"]
Z_95 = 1.959964
TIE = 1e-9
FIRST, ROUNDS = 199, 4_999
CELLS = 4_000_000
"""Bootstrap counts held in memory at once."""
ENOUGH_EXTREME = 10
UNREMARKABLE = 0.1
SMALLEST_P = 1e-12
ENOUGH_QUIET = 8
SUM_OF_SHARES = 2.109742801236892
"""The sum of 1 / (n log² n) over all n from 2."""


class Interval(Record):
    """Where a mean lies, with 95 % confidence."""

    low: float
    high: float


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Decide which hypotheses fall when the chance of any false alarm may be alpha (Holm, 1979).

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
    """Return the share of alpha that the check of this number, from 1, may spend.

    All shares of an endless sequence add up to alpha, so that the chance of any false alarm, ever, is at most alpha,
    however the checks hang together: they have a reference in common, which is why evidence must not be multiplied
    over checks as if they were independent (alpha-spending: Tian and Ramdas, 2021, section 2). The shares fall
    almost as slowly as a sum that converges can.

    >>> bool(sum(alpha_spending(0.05, check) for check in range(1, 100_000)) < 0.05)
    True
    """
    return alpha / (SUM_OF_SHARES * (check + 1) * np.log(check + 1) ** 2)


def dispersion(quiet: Sequence[float]) -> float:
    """Return how much wider statistics scatter than their test says, going by p-values of quiet checks; at least 1.

    The median of the p-values, as chi-squared with one degree of freedom, over the median that it should have
    (genomic control: Devlin and Roeder, 1999). Not the median itself is taken but what it exceeds with 90 % confidence
    (order statistics), so that a few checks that look lively by chance do not blunt a detector.

    >>> [round(dispersion(one), 1) for one in ([0.9, 0.5, 0.1] * 10, [0.5, 0.05, 0.01] * 10)]
    [1.0, 8.4]
    """
    from scipy.stats import binom, chi2

    if len(quiet) < ENOUGH_QUIET:
        return 1.0
    statistics = np.sort(chi2.isf(np.clip(quiet, SMALLEST_P, 1.0), 1))
    bound = statistics[max(0, int(binom.ppf(0.1, len(quiet), 0.5)) - 1)]
    return max(1.0, float(bound / chi2.median(1)))


def deflated_p(p_value: float, spread: float) -> float:
    """Return a p-value for a statistic that scatters so much wider than its test says.

    >>> deflated_p(0.01, 1.0), round(deflated_p(0.01, 2.0), 3)
    (0.01, 0.069)
    """
    from scipy.stats import chi2

    return p_value if spread <= 1 else float(chi2.sf(chi2.isf(max(p_value, SMALLEST_P), 1) / spread, 1))


def is_explained(p_value: float, expected: float) -> bool:
    """Tell whether a p-value is larger than nine of ten would be, were it expected to be so small.

    A large p-value alone does not say that nothing is there: with fewer rows it may be what chance makes of the same
    difference.

    >>> [is_explained(p_value, expected) for p_value, expected in ((0.6, 0.03), (0.2, 0.03), (0.2, 0.001))]
    [True, False, True]
    """
    from scipy.stats import chi2, norm

    found, told = (float(np.sqrt(chi2.isf(max(one, SMALLEST_P), 1))) for one in (p_value, expected))
    return bool(found <= told - norm.isf(0.1))


def monte_carlo_p(observed: float, simulated: np.ndarray) -> float:
    """Return the share of outcomes as extreme as the observed one, itself counted (Phipson and Smyth, 2010).

    >>> monte_carlo_p(3.0, np.array([1.0, 2.0, 4.0]))
    0.5
    """
    extreme = int((simulated >= observed - TIE * max(1.0, abs(observed))).sum())
    return (1 + extreme) / (1 + len(simulated))


def is_unremarkable(observed: float, simulated: np.ndarray) -> bool:
    """Tell from a few simulated statistics that more of them are not worth their time.

    What these put above 0.1 is no alarm at any level (the idea of sequential Monte Carlo tests: Besag and Clifford,
    1991).
    """
    return monte_carlo_p(observed, simulated) > UNREMARKABLE


def simulated_p(observed: float, simulated: np.ndarray) -> float:
    """Return the p-value of a statistic among simulated ones, far into the tail as well.

    Where ten or more are as extreme, it is their share. Where fewer are, a Pearson type III curve with the mean,
    variance and skewness of the simulated ones is followed outwards (as Knijnenburg et al., 2009, and Minas and
    Montana, 2014, do for permutations): a shared-out alpha asks for p-values that no simulation could count. Then the
    curve alone counts: the smaller of two estimates of one p-value is smaller than it should be.
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
    """Return the p-value of a fall of the mean, by permutation of the sides (Pitman, 1937).

    The smaller side is drawn out of all rows again and again, so that a large other side costs nothing; and not for
    long where a few draws have told that there is nothing to see.
    """
    rng = np.random.default_rng(seed)
    everything, size = np.concatenate([before, after]), min(len(before), len(after))
    sign = -1.0 if len(after) == size else 1.0
    observed = sign * float((after if len(after) == size else before).sum())

    def simulated(rounds: int) -> np.ndarray:
        drawn = (rng.choice(len(everything), size, replace=False) for _ in range(rounds))
        return sign * np.array([everything[rows].sum() for rows in drawn])

    some = simulated(FIRST)
    return simulated_p(observed, some if is_unremarkable(observed, some) else simulated(ROUNDS))


def bootstrap_means(values: np.ndarray, *, resamples: int, seed: int) -> np.ndarray:
    """Return the means of bootstrap samples.

    Equal values are drawn together, by how often each comes up (multinomial): a hundred thousand right-or-wrong
    rows cost as much as three. Values are rounded to a hundredth of a point, which bounds how many there are.
    """
    distinct, counts = np.unique(np.round(values, 4), return_counts=True)
    rng, total = np.random.default_rng(seed), len(values)
    chunk = max(1, CELLS // len(distinct))
    sizes = [min(chunk, resamples - start) for start in range(0, resamples, chunk)]
    return np.concatenate([rng.multinomial(total, counts / total, size=size) @ distinct / total for size in sizes])


def loss_p(differences: np.ndarray, *, resamples: int, seed: int) -> float:
    """Return the p-value of a loss: how often bootstrap means of paired differences are none (Efron, 1979).

    One gained row is added before the draw, as the rule of three adds a lost one: a handful of rows that all fell the
    same way would look certain otherwise, for no draw could contain a row that rose. Far into the tail the means' own
    curve is followed (`simulated_p`), since a corrected level asks for p-values that no number of draws could count.
    """
    if not len(differences) or not (differences < 0).any():
        return 1.0
    means = bootstrap_means(np.append(differences, 1.0), resamples=resamples, seed=seed)
    return max(simulated_p(0.0, means), 0.5 ** int(np.count_nonzero(differences)))


def sign_p(differences: np.ndarray) -> float:
    """Return the exact p-value of a loss from the signs of paired differences; of right or wrong, McNemar's (1947).

    >>> sign_p(np.array([-1.0] * 5 + [0.0] * 40))
    0.03125
    """
    from scipy.stats import binom

    lost, gained = int((differences < 0).sum()), int((differences > 0).sum())
    return float(binom.cdf(gained, lost + gained, 0.5)) if lost + gained else 1.0


def rows_to_decide(differences: np.ndarray, level: float) -> int | None:
    """Return how many rows like these would show that their mean is a loss at this level; None where it is none.

    From the normal approximation of the mean: with so many rows, the loss would be as many standard errors from zero
    as the level asks for.

    >>> rows_to_decide(np.array([-1.0] * 3 + [0.0] * 40), 0.05)
    37
    """
    from scipy.stats import norm

    mean, spread = float(differences.mean()), float(differences.std())
    return int(np.ceil((norm.isf(level) * spread / mean) ** 2)) if mean < 0 else None


def wilson_interval(mean: float, rows: int) -> Interval:
    """Return Wilson's 95 % interval (Wilson, 1927); it is too wide, not too narrow, for fractional scores."""
    centre = (mean + Z_95**2 / (2 * rows)) / (1 + Z_95**2 / rows)
    reach = Z_95 * np.sqrt(mean * (1 - mean) / rows + Z_95**2 / (4 * rows**2)) / (1 + Z_95**2 / rows)
    return Interval(low=max(0.0, float(centre - reach)), high=min(1.0, float(centre + reach)))


def format_p_value(p_value: float) -> str:
    """Return a p-value as people write it: ``p = 0.012`` or ``p < 0.0001``."""
    return "p < 0.0001" if p_value < 0.0001 else f"p = {p_value:.2g}"
