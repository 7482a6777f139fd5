"""Generalised linear terms: a link loss of the predictions A z, weighted rows, a ridge penalty."""

import dataclasses

from benchmark_utils.problem.variables import SparseRows
from benchmark_utils.terms.links import LINKS
from benchmark_utils.terms.penalties import NoPenalty
from benchmark_utils.terms.term import QUANTITIES, Term


def matmul(xp, rows, z, n_rows):
    """Return ``rows @ z`` for dense rows of shape (n_rows, p) or `SparseRows`; z has shape (p,) or (p, c)."""
    if not isinstance(rows, SparseRows):
        return rows @ z
    picked = xp.take(z, rows.columns, axis=0)
    values = rows.values if z.ndim == 1 else rows.values[:, None]
    return xp.segment_sum(values * picked, rows.rows, n_rows)


def transposed_matmul(xp, rows, r, n_columns):
    """Return ``rows^T @ r`` for dense rows or `SparseRows`; r has shape (b,) or (b, c)."""
    if not isinstance(rows, SparseRows):
        return xp.vecmat(r, rows) if r.ndim == 1 else rows.T @ r
    picked = xp.take(r, rows.rows, axis=0)
    values = rows.values if r.ndim == 1 else rows.values[:, None]
    return xp.segment_sum(values * picked, rows.columns, n_columns)


def _along_rows(w, u):
    return w if u.ndim == 1 else w[:, None]


@dataclasses.dataclass(frozen=True)
class GLM(Term):
    """``sum_i w_i s_i(x) loss(A_i z, y_i) + 1/2 sum_k q_k(x) z_k^2``.

    Rows have "features" (dense or sparse) and "targets": -1 or +1, or one-hot rows.

    Attributes
    ----------
    link : {"logistic", "multinomial"}
        Key of `links.LINKS`.
    penalty_term : penalties.NoPenalty
        q(x).
    weighted : bool
        Whether row i weighs s_i(x) = sigmoid(x_i) (hyper-cleaning) instead of 1.
    n_classes : int
        Second dimension of z, of shape (features, classes), for the multinomial link, else 1.
    """

    link: str
    penalty_term: NoPenalty = NoPenalty()
    weighted: bool = False
    n_classes: int = 1

    closed_forms = frozenset(QUANTITIES)

    @property
    def uses_x(self):
        """Whether the value depends on x: through the weights of the rows or the penalty."""
        return self.weighted or self.penalty_term.uses_x

    def features(self, xp, x, rows):
        """Return the features of the rows; a subclass may let them depend on x."""
        return rows["features"]

    def sample_values(self, xp, z, x, rows):
        """Return the loss of each row, weights s_i(x) included, shape (b,)."""
        u = matmul(xp, self.features(xp, x, rows), z, rows["targets"].shape[0])
        values = LINKS[self.link].value(xp, u, rows["targets"])
        if self.weighted:
            values = xp.sigmoid(xp.take(x, rows["ids"], axis=0)) * values
        return values

    def penalty(self, xp, z, x):
        """Return the penalty, a scalar."""
        return self.penalty_term.value(xp, z, x)

    def derivatives(self, xp, want, z, x, v, rows, weights):
        """Return the quantities ``want`` from one pass over the rows; see `Term.derivatives`."""
        A, y = self.features(xp, x, rows), rows["targets"]
        n, p = y.shape[0], z.shape[0]
        link, q = LINKS[self.link], self.penalty_term.diagonal(xp, z, x)
        s = xp.sigmoid(xp.take(x, rows["ids"], axis=0)) if self.weighted else None
        w = weights if s is None else weights * s
        second = "hvp" in want
        moved = second or ("cross" in want and self.weighted)
        predict = lambda z: matmul(xp, A, z, n) if z.ndim > 1 or isinstance(A, SparseRows) else xp.matvec(A, z)
        u, du = predict(z), predict(v) if moved else None
        first, curved = link.both(xp, u, y) if second else (link.gradient(xp, u, y), None)
        out = {}
        if "grad_z" in want:
            out["grad_z"] = transposed_matmul(xp, A, _along_rows(w, u) * first, p)
        if "hvp" in want:
            out["hvp"] = transposed_matmul(xp, A, _along_rows(w, u) * curved(du), p)
        for name, direction in (("grad_z", z), ("hvp", v)):
            if name in out and q is not None:
                out[name] = out[name] + q * direction
        if "value" in want:
            out["value"] = xp.sum(w * link.value(xp, u, y)) + self.penalty(xp, z, x)
        if "grad_x" in want:
            slopes = None if s is None else weights * s * (1 - s) * link.value(xp, u, y)
            out["grad_x"] = self._in_x(xp, x, rows, slopes, self._of_penalty("grad_x", xp, z, x))
        if "cross" in want:
            slopes = None
            if s is not None:
                along = first * du
                slopes = weights * s * (1 - s) * (along if u.ndim == 1 else xp.sum(along, axis=1))
            out["cross"] = self._in_x(xp, x, rows, slopes, self._of_penalty("cross", xp, z, x, v))
        return out

    def _of_penalty(self, quantity, xp, z, x, *v):
        function = getattr(self.penalty_term, quantity, None)
        return None if function is None else function(xp, z, x, *v)

    def _in_x(self, xp, x, rows, slopes, of_penalty):
        """Return a derivative in x: slopes put at the rows' own entries, plus that of the penalty."""
        out = xp.zeros_like(x) if slopes is None else xp.segment_sum(slopes, rows["ids"], x.shape[0])
        return out if of_penalty is None else out + of_penalty
