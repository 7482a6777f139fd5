"""Exact solutions of data poisoning: a generalised linear problem some of whose rows move with x."""

import numpy as np

from benchmark_utils.evaluation.glm import GLMEvaluator
from benchmark_utils.problem.namespace import xp


class NoisyRows:
    """Features with the noise of the latest x, shared by all that evaluate there.

    Parameters
    ----------
    features : array of shape (n, k)
        Clean features; not changed.
    n_poisoned : int
        The first so many rows carry noise.
    exact : bool
        Whether the features are kept in float64 too.
    """

    def __init__(self, features, n_poisoned, exact=True):
        self.clean = features[:n_poisoned]
        self.single = features.astype(np.float32)
        self.double = np.array(features, np.float64) if exact else None
        self.x = np.zeros(self.clean.size)

    def place(self, x):
        """Put the noise x, flat, float64, onto the rows; nothing is done where it is there already."""
        if np.array_equal(x, self.x):
            return
        noisy = self.clean + x.reshape(self.clean.shape)
        self.single[: len(noisy)] = noisy
        if self.double is not None:
            self.double[: len(noisy)] = noisy
        self.x = x.copy()


class PoisonedEvaluator(GLMEvaluator):
    """Newton evaluator of a problem whose inner term is `Poisoned`.

    Parameters
    ----------
    inner : benchmark_utils.terms.poisoned.Poisoned
    outer : benchmark_utils.terms.term.Term
        F, without x: a GLM, or one times a constant.
    noisy : NoisyRows
        With float64; its rows are those of G.
    inner_rows, outer_rows, **tolerances
        As in `GLMEvaluator`.
    """

    def __init__(self, inner, outer, noisy, inner_rows, outer_rows, **tolerances):
        super().__init__(inner, outer, inner_rows | {"features": noisy.double}, outer_rows, **tolerances)
        self.noisy = noisy
        self._single = noisy.single, noisy.single.T

    def place(self, x):
        """Bring the features of G to x."""
        self.noisy.place(x)

    def _cross(self, x, z, u, v):
        """Return C v, shape (d,): the derivative of <grad_z G, v> in the noise."""
        del x
        k, n = len(self.noisy.clean), len(self.A)
        u, y, A = u[:k], self.y[:k], self.A[:k]
        gradient, curved = self.loss.both(xp, u, y)
        rows = lambda r, w: r[:, None] * w[None, :] if w.ndim == 1 else r @ w.T
        return ((rows(curved(A @ v), z) + rows(gradient, v)) / n).ravel()
