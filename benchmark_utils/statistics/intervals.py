"""Confidence intervals: Wilson's for shares, SciPy's bootstrap for medians and ratios; costs may be infinite."""

import numpy as np
from scipy import stats

#: Confidence level, and resamples of a bootstrap.
LEVEL, RESAMPLES = 0.95, 1000


def of_share(k, n, level=LEVEL):
    """Return (share, low, high) of ``k`` successes in ``n`` runs, by Wilson's interval."""
    interval = stats.binomtest(k, n).proportion_ci(level, method="wilson")
    return k / n, float(interval.low), float(interval.high)


def resampled(statistic, data, paired=False, resamples=RESAMPLES, seed=0):
    """Return the bootstrap distribution of a statistic, shape (..., resamples).

    Parameters
    ----------
    statistic : callable
        ``statistic(*samples, axis) -> array``, vectorised.
    data : tuple of arrays
        Samples; with ``paired`` they are resampled together.
    """
    with np.errstate(invalid="ignore"):  # the standard error of infinite costs, which is not used
        result = _bootstrap(statistic, data, paired, resamples, seed)
    return result.bootstrap_distribution


def _bootstrap(statistic, data, paired, resamples, seed):
    return stats.bootstrap(
        data, statistic, paired=paired, vectorized=True, n_resamples=resamples, method="percentile",
        rng=np.random.default_rng(seed),
    )  # fmt: skip


def percentiles(distribution, level=LEVEL):
    """Return (low, high) along the last axis; infinite entries count as the largest, and are never averaged."""
    tails = (1 - level) / 2
    return tuple(np.quantile(distribution, q, axis=-1, method="inverted_cdf") for q in (tails, 1 - tails))


def upper_median(a, axis=-1):
    """Return the median; of an even number the larger of the middle two, so that an infinite cost is not averaged."""
    n = a.shape[axis]
    return np.take(np.sort(a, axis=axis), n // 2, axis=axis)


def of_median(costs, level=LEVEL):
    """Return (median, low, high) of costs that may be infinite; the median of one run alone has no interval (NaN)."""
    costs = np.asarray(costs, float)
    value = float(upper_median(costs))
    if len(costs) < 2:
        return value, np.nan, np.nan
    low, high = percentiles(resampled(upper_median, (costs,)), level)
    return value, float(low), float(high)


def of_ratio(statistic, a, b, level=LEVEL):
    """Return (value, low, high) of ``statistic(a, b)`` over runs that belong together; one run has no interval."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    value = float(statistic(a, b))
    if len(a) < 2:
        return value, np.nan, np.nan
    along = lambda a, b, axis: statistic(np.moveaxis(a, axis, -1), np.moveaxis(b, axis, -1))
    low, high = percentiles(resampled(along, (a, b), paired=True), level)
    return value, float(low), float(high)
