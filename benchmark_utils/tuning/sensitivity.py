"""How much a method's score depends on its hyper-parameters, and on how many trials it was tuned with.

Only exchangeable trials say that: those of the first round over the whole ranges. Later rounds gather around the best.
"""

import numpy as np
from scipy.special import gammaln


def log_binomial(n, k):
    """Return log C(n, k), minus infinity where k is above n; arrays of whole numbers."""
    n, k = np.broadcast_arrays(np.asarray(n, float), np.asarray(k, float))
    room = np.maximum(n - k, 0)
    return np.where(k > n, -np.inf, gammaln(n + 1) - gammaln(k + 1) - gammaln(room + 1))


def at_most(n, k):
    """Return P(the least of k draws without replacement is among the i least), for i = 1 .. n, shape (n,)."""
    left = n - np.arange(1, n + 1)
    return 1 - np.exp(log_binomial(left, k) - log_binomial(n, k))


def expected_minimum(scores, k):
    """Return the expected least of k scores drawn without replacement; infinite where k infinite ones may be drawn.

    Parameters
    ----------
    scores : sequence of float
        n scores; infinity is the worst.
    k : int
        1 to n.
    """
    ordered = np.sort(scores)
    weights = np.diff(at_most(len(ordered), k), prepend=0.0)
    possible = np.arange(len(ordered)) <= len(ordered) - k  # what has fewer than k - 1 above it is never the least
    return float(np.sum(weights[possible] * ordered[possible]))


def quantile_of_minimum(scores, k, share):
    """Return the least score s with P(least of k scores drawn without replacement <= s) >= ``share``."""
    ordered = np.sort(scores)
    return float(ordered[np.argmax(at_most(len(ordered), k) >= share - 1e-12)])


def best_after(first, others, k):
    """Return (expected, 10 % quantile, median, 90 % quantile) of the best score after k trials.

    Parameters
    ----------
    first : float
        Score of the trial that always comes first, the start of the ranges.
    others : sequence of float
        Scores of exchangeable trials.
    k : int
        1 to ``len(others) + 1``.
    """
    if k == 1:
        return (first,) * 4
    capped = np.minimum(others, first)
    return (
        expected_minimum(capped, k - 1),
        *(quantile_of_minimum(capped, k - 1, share) for share in (0.1, 0.5, 0.9)),
    )


def good_values(outcomes, name, share=0.25):
    """Return the values of a hyper-parameter with which the best ``share`` of the outcomes did, finite ones alone.

    Parameters
    ----------
    outcomes : list of Outcome
    name : str
    share : float
    """
    finite = sorted((o for o in outcomes if np.isfinite(o.score)), key=lambda o: o.score)
    return [o.values[name] for o in finite[: max(1, round(share * len(outcomes)))]]
