"""Performance and data profiles over problems, for a stated set of solvers.

E. D. Dolan, J. J. Moré, "Benchmarking optimization software with performance profiles", Mathematical Programming 91,
2002; J. J. Moré, S. M. Wild, "Benchmarking derivative-free optimization algorithms", SIAM J. Optim. 20, 2009.
"""

import numpy as np


def performance_ratios(costs):
    """Return the cost of each solver over that of the best one on the same problem.

    Parameters
    ----------
    costs : array of shape (problems, solvers)
        Infinite where the solver failed. A problem that no solver solved stays in the count: all its ratios are
        infinite.
    """
    costs = np.asarray(costs, float)
    best = costs.min(axis=1, keepdims=True)
    out = np.where(costs == best, 1.0, np.inf)  # a target that is reached at the start costs nothing
    np.divide(costs, best, out=out, where=np.isfinite(costs) & (best > 0))
    return np.where(np.isfinite(costs), out, np.inf)


def share_within(values, thresholds):
    """Return the share of problems on which each solver's value is at most each threshold.

    Parameters
    ----------
    values : array of shape (problems, solvers)
        Ratios, for a performance profile; costs in a unit of the problem (passes over its samples), for a data profile.
    thresholds : array of shape (n,)

    Returns
    -------
    array of shape (solvers, n)
    """
    values = np.asarray(values, float)
    return (values[:, :, None] <= np.asarray(thresholds, float)).mean(axis=0)


def steps_of(values):
    """Return the thresholds at which a profile steps: the finite values, each once, in order."""
    values = np.asarray(values, float)
    return np.unique(values[np.isfinite(values)])
