"""Generalised linear terms some of whose rows carry additive noise, the outer variable."""

import dataclasses

from benchmark_utils.terms.glm import GLM
from benchmark_utils.terms.links import LINKS
from benchmark_utils.terms.term import QUANTITIES


@dataclasses.dataclass(frozen=True)
class Poisoned(GLM):
    """``sum_i w_i loss((A_i + x_i) z, y_i) + penalty``, where x_i = 0 beyond the rows of x.

    x has shape (k, features): the first k rows of the problem's own order are the noisy ones.
    Rows have dense "features" and "targets"; ``weighted`` stays False and the penalty does not
    depend on x (Grazzi, Pontil and Salzo, JMLR 24(167), 2023, section 7.3).
    """

    closed_forms = frozenset(QUANTITIES)
    uses_x = True

    def features(self, xp, x, rows):
        """Return the features with their noise, shape (b, features)."""
        noise = xp.take(x, self._places(xp, x, rows), axis=0)
        return rows["features"] + self._noisy_only(xp, x, rows, noise)

    def _places(self, xp, x, rows):
        """Return the row of x of each row, 0 for rows without noise, int of shape (b,)."""
        return xp.where(rows["ids"] < x.shape[0], rows["ids"], 0 * rows["ids"])

    def _noisy_only(self, xp, x, rows, values):
        return xp.where((rows["ids"] < x.shape[0])[:, None], values, 0 * values)

    def cross_of_rows(self, xp, z, x, v, rows, weights):
        """Return (rows of x, what the batch adds to them in C v), shapes (b,) and (b, features)."""
        A, y = self.features(xp, x, rows), rows["targets"]
        u = A @ z
        w = weights if u.ndim == 1 else weights[:, None]
        first, curved = LINKS[self.link].both(xp, u, y)
        slopes = _outer(w * curved(A @ v), z) + _outer(w * first, v)
        return self._places(xp, x, rows), self._noisy_only(xp, x, rows, slopes)

    def derivatives(self, xp, want, z, x, v, rows, weights):
        """Return the quantities ``want`` from one pass over the rows; see `Term.derivatives`."""
        A, y, link = self.features(xp, x, rows), rows["targets"], LINKS[self.link]
        q, u = self.penalty_term.diagonal(xp, z, x), A @ z
        w = weights if u.ndim == 1 else weights[:, None]
        if "hvp" in want or "cross" in want:
            first, curved = link.both(xp, u, y)
            second = w * curved(A @ v)
        else:
            first = link.gradient(xp, u, y)
        first, out = w * first, {}
        if "value" in want:
            out["value"] = xp.sum(weights * link.value(xp, u, y)) + self.penalty(xp, z, x)
        if "grad_z" in want:
            out["grad_z"] = A.T @ first if q is None else A.T @ first + q * z
        if "hvp" in want:
            out["hvp"] = A.T @ second if q is None else A.T @ second + q * v
        if "grad_x" in want:
            out["grad_x"] = self._of_noise(xp, x, rows, _outer(first, z))
        if "cross" in want:
            out["cross"] = self._of_noise(xp, x, rows, _outer(second, z) + _outer(first, v))
        return out

    def _of_noise(self, xp, x, rows, slopes):
        """Return the derivative in x from that in the features of each row, (b, features)."""
        slopes = self._noisy_only(xp, x, rows, slopes)
        return xp.segment_sum(slopes, self._places(xp, x, rows), x.shape[0])


def _outer(r, z):
    """Return the derivative in the features: r is that in the predictions, (b,) or (b, c)."""
    return r[:, None] * z[None, :] if z.ndim == 1 else r @ z.T
