"""The toy problem of Shen and Chen: scalar levels, many independent copies side by side."""

import dataclasses

from benchmark_utils.terms.term import Term


@dataclasses.dataclass(frozen=True)
class ToyLower(Term):
    """``sum_k (x_k + z_k)^2 + x_k sin(x_k + z_k)^2``, not convex in z; z and x have shape (copies,).

    Where x_k is not negative both parts are zero at z_k = -x_k, and nowhere else. Rows have "ones", the weight of the
    sum (H. Shen, T. Chen, ICML 2023, arXiv:2302.05185; the formula is that of the released code).
    """

    def sample_values(self, xp, z, x, rows):
        """Return the sum, once for each row, shape (b,)."""
        s = x + z
        return rows["ones"] * xp.sum(s * s + x * xp.sin(s) * xp.sin(s))


@dataclasses.dataclass(frozen=True)
class ToyUpper(Term):
    """``sum_k cos(4 z_k + 2) / (1 + exp(2 - 4 x_k)) + log((4 x_k - 2)^2 + 1) / 2``; see `ToyLower`."""

    def sample_values(self, xp, z, x, rows):
        """Return the sum, once for each row, shape (b,)."""
        t = 4 * x - 2
        return rows["ones"] * xp.sum(xp.cos(4 * z + 2) * xp.sigmoid(t) + 0.5 * xp.log(t * t + 1))
