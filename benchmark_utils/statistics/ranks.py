"""Ranks of solvers with intervals: the runs of each solver are resampled, and the solvers are ranked again."""

import numpy as np
from scipy import stats

from benchmark_utils.statistics.intervals import LEVEL, RESAMPLES, percentiles, resampled, upper_median


def ranks(costs):
    """Return ranks along the first axis, 1 for the lowest cost; equal costs, infinite ones too, share their mean."""
    return stats.rankdata(costs, axis=0)


def rank_intervals(costs, level=LEVEL, resamples=RESAMPLES, seed=0):
    """Return each solver's mean rank over problems, by median cost, with its bootstrap interval.

    Parameters
    ----------
    costs : list of list of arrays
        ``costs[i][j]``: costs of the runs of solver j on problem i, infinite where a run failed; every solver has at
        least one run on every problem.

    Returns
    -------
    mean, low, high : arrays of shape (solvers,)
        Solvers whose intervals overlap are not told apart by these runs.

    Raises
    ------
    ValueError
        If a solver has no run on a problem.
    """
    if any(len(runs) == 0 for problem in costs for runs in problem):
        raise ValueError("every solver needs a run on every problem that is ranked; leave out the one or the other.")
    rng = np.random.default_rng(seed)
    points, spread = [], []
    for problem in costs:
        samples = [np.asarray(runs, float) for runs in problem]
        points.append(ranks(np.array([upper_median(runs) for runs in samples])))
        medians = [
            resampled(upper_median, (runs,), resamples=resamples, seed=int(rng.integers(2**32)))
            if len(runs) > 1
            else np.full(resamples, runs[0])
            for runs in samples
        ]
        spread.append(ranks(np.stack(medians)))
    low, high = percentiles(np.mean(spread, axis=0), level)
    return np.mean(points, axis=0), low, high
