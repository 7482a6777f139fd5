"""How much an attack harms: a classifier trained anew on the poisoned rows, in a fixed number of steps."""

import numpy as np

from benchmark_utils.problem.namespace import xp
from benchmark_utils.terms.links import MULTINOMIAL

#: Rows taken at a time: the second product of a step finds them in the cache.
CHUNK = 150


def retrained(features, targets, ridge, n_steps=1000, step=0.1, momentum=0.5):
    """Return the weights of a multinomial regression after gradient descent with heavy-ball momentum from zero.

    The regularised loss ``1/n sum_i CE(W; a_i, y_i) + ridge ‖W‖^2`` is not minimised where ``ridge`` is tiny: the
    number of steps is part of what is measured (Grazzi, Pontil and Salzo, JMLR 24(167), 2023, take the defaults).

    Parameters
    ----------
    features : array of shape (n, k)
    targets : array of shape (n, c)
        One-hot rows.
    ridge : float
    n_steps : int
    step, momentum : float

    Returns
    -------
    array of shape (k, c)
        In the precision of the features.
    """
    n, dtype = len(features), features.dtype
    targets = np.asarray(targets, dtype)
    W = np.zeros((features.shape[1], targets.shape[1]), dtype)
    moved = np.zeros_like(W)
    for _ in range(n_steps):
        gradient = np.zeros_like(W)
        for start in range(0, n, CHUNK):
            A, y = features[start : start + CHUNK], targets[start : start + CHUNK]
            gradient += (MULTINOMIAL.gradient(xp, A @ W, y).T @ A).T  # a third faster than A.T @ (...)
        moved = dtype.type(momentum) * moved + gradient / dtype.type(n) + dtype.type(2 * ridge) * W
        W -= dtype.type(step) * moved
    return W


def loss_and_error(features, targets, W):
    """Return (mean cross-entropy, share of wrong predictions) of the linear model W."""
    u = features @ W
    wrong = u.argmax(axis=1) != targets.argmax(axis=1)
    return float(np.mean(MULTINOMIAL.value(xp, u, targets))), float(np.mean(wrong))
