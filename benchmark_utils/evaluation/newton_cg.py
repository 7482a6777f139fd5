"""Preconditioned conjugate gradients for the Hessians of generalised linear problems, in mixed precision.

With features A (n rows), predictions u = A z, the second derivative S of the weighted loss in u and the penalty q,

    H v = A^T (S (A v)) + q v,        v of shape (k,) or (k, c)

The iterations run in float32, which halves their time; residuals are renewed in float64 until the accuracy asked
for is reached.
"""

import math
from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse as sp

#: Unknowns up to which the preconditioner is the whole matrix.
WHOLE = 1000

#: Features in the dense blocks of the preconditioner.
BLOCK_FEATURES = 800

#: Iterations lost to an outdated preconditioner, of blocks or whole, before it is built anew: a build costs as much.
PATIENCE, PATIENCE_WHOLE = 25, 10

#: Share of the rows that the whole matrix is estimated from.
SAMPLE = 0.1

#: Rows taken at a time to assemble a Hessian.
CHUNK = 2048

#: Penalty relative to the largest entry of H below which float32 does not resolve it.
SINGLE_RIDGE = 1e-5

#: Reduction asked of one float32 run of conjugate gradients.
SINGLE_RTOL = 1e-4

#: Iterations after which, and growth of the squared residual at which, a run of conjugate gradients has failed. In
#: float32 that happens where the penalty is below its rounding; float64 takes over.
MAX_ITERATIONS, MAX_GROWTH = 500, 1e6

#: Runs of conjugate gradients for one system, and the factor of its tolerance that is accepted at the rounding level.
MAX_ROUNDS, SLACK = 12, 100.0


class Hessian:
    """H at fixed predictions.

    Parameters
    ----------
    A, A_T : array or sparse matrix
        Features and their transpose.
    curvature : callable
        ``curvature(du) -> S du``, the shape of u.
    q : array of shape (k,) or (k, c)
    """

    def __init__(self, A, A_T, curvature, q):
        self.A, self.A_T, self.curvature, self.q = A, A_T, curvature, q

    def product(self, v):
        """Return H v, shape of q."""
        return self.A_T @ self.curvature(self.A @ v) + self.q * v

    def sample_diagonal(self):
        """Return the diagonal of S, shape (n, c)."""
        n, c = self.A.shape[0], self.q.size // self.q.shape[0]
        if self.q.ndim == 1:
            return self.curvature(np.ones(n, self.q.dtype))[:, None]
        units = np.eye(c, dtype=self.q.dtype)
        return np.stack([self.curvature(np.broadcast_to(unit, (n, c)))[:, j] for j, unit in enumerate(units)], axis=1)

    def data_matrix(self, sample=1.0):
        """Return ``A^T S A``, shape (k c, k c), or its estimate from about a share ``sample`` of the rows.

        Rows are kept with a probability proportional to their squared norm, at most 1, and weigh its inverse, so that
        the few rows with a rare feature are all there.
        """
        (n, k), c = self.A.shape, self.q.size // self.q.shape[0]
        if self.q.ndim == 1:
            S = self.curvature(np.ones(n, self.q.dtype))[:, None, None]
        else:
            S = np.stack([self.curvature(np.broadcast_to(unit, (n, c))) for unit in np.eye(c)], axis=2)
        kept = None
        if sample < 1:
            squares = (self.A * self.A).sum(axis=1) if sp.issparse(self.A) else np.einsum("ij,ij->i", self.A, self.A)
            share = np.minimum(1, sample * n / squares.sum() * squares)
            kept = np.flatnonzero(np.random.default_rng(0).random(n) < share)
            S[kept] /= share[kept, None, None]
        H = np.zeros((k, c, k, c))
        for start in range(0, n if kept is None else len(kept), CHUNK):  # no scaled copy of all rows
            rows = slice(start, start + CHUNK)
            rows = rows if kept is None else kept[rows]
            A = self.A[rows].toarray() if sp.issparse(self.A) else self.A[rows]
            for j in range(c):
                scaled = S[rows, : j + 1, j, None] * A[:, None, :]
                H[:, j, :, : j + 1] += (A.T @ scaled.reshape(len(A), -1)).reshape(k, j + 1, k).transpose(0, 2, 1)
        for j in range(c):
            for i in range(j):
                H[:, i, :, j] = H[:, j, :, i].T
        return H.reshape(k * c, k * c)


class BlockPreconditioner:
    """Inverse of H's class blocks over the features of largest curvature and of its diagonal elsewhere.

    Adding one vector a to the coefficients of every class changes no softmax, so H on such a shift is the penalty
    alone, orders of magnitude below what the class blocks B say. Shifts V a are therefore solved exactly and the
    rest is projected: ``M^-1 = P B^-1 P^T + V (V^T H V)^-1 V^T`` with the H-orthogonal projection
    ``P = I - V (V^T H V)^-1 V^T H``. (MNIST hyper-cleaning "ji": 1,520 products with the diagonal of H, 870 with
    B alone, 33 with M.)
    """

    def __init__(self, hessian):
        A, q = hessian.A, hessian.q
        self.shape = q.shape
        self.q = q.reshape(q.shape[0], -1)
        self.q_sum = self.q.sum(axis=1)
        s = hessian.sample_diagonal()
        squares = A.multiply(A).T.tocsr() if sp.issparse(A) else (A * A).T
        diagonal = squares @ s + self.q
        self.inverse_diagonal = 1 / diagonal
        self.heavy = slice(None)
        if A.shape[1] > BLOCK_FEATURES:
            self.heavy = np.sort(np.argsort(-(diagonal / self.q).max(axis=1), kind="stable")[:BLOCK_FEATURES])
        block = A[:, self.heavy]
        block = block.toarray() if sp.issparse(block) else block
        try:
            self.factors = [_factor(block, s[:, j], self.q[self.heavy, j]) for j in range(s.shape[1])]
        except np.linalg.LinAlgError:  # numbers out of range: the diagonal will have to do
            self.factors = None

    def __call__(self, r):
        """Return M^-1 r, shape of r."""
        r = r.reshape(self.q.shape)
        if r.shape[1] == 1:
            return self._blocks(r).reshape(self.shape)
        shift = (r.sum(axis=1) / self.q_sum)[:, None]
        out = self._blocks(r - self.q * shift)
        out += shift - ((self.q * out).sum(axis=1) / self.q_sum)[:, None]
        return out

    def _blocks(self, r):
        out = r * self.inverse_diagonal
        if self.factors is not None:
            rows = r[self.heavy]
            for j, factor in enumerate(self.factors):
                out[self.heavy, j] = scipy.linalg.cho_solve(factor, rows[:, j], check_finite=False)
        return out


def _factor(block, weights, penalty):
    scaled = np.sqrt(weights)[:, None] * block
    gram = scaled.T @ scaled
    diagonal = np.einsum("ii->i", gram)
    diagonal += penalty + 1e-6 * diagonal.max()  # above the rounding of the products
    return scipy.linalg.cho_factor(gram, overwrite_a=True, check_finite=False)


class WholePreconditioner:
    """Inverse of H with the data's part kept and the penalty of the system at hand: for up to `WHOLE` unknowns.

    The data's part comes from a share of the rows where there are many. (Covtype with penalties of 1e-6: 20 to 50
    iterations for four decimals with the class blocks, about 6 with this.)
    """

    def __init__(self, hessian):
        sample = max(SAMPLE, 64 * hessian.q.size / hessian.A.shape[0])
        self.shape, self.matrix = hessian.q.shape, hessian.data_matrix(sample)
        self.update(hessian.q)

    def update(self, q):
        """Take over the penalty q."""
        H = self.matrix + np.diag(q.ravel().astype(np.float64))
        self.diagonal = np.einsum("ii->i", H).copy()
        try:
            self.factor = scipy.linalg.cho_factor(H, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:  # numbers out of range: the diagonal will have to do
            self.factor = None

    def __call__(self, r):
        """Return M^-1 r, shape of r."""
        r = r.astype(np.float64, copy=False).ravel()
        if self.factor is None:
            return (r / self.diagonal).reshape(self.shape)
        return scipy.linalg.cho_solve(self.factor, r, check_finite=False).reshape(self.shape)


class Frozen(NamedTuple):
    """A preconditioner kept from one system to the next, with its record."""

    precondition: BlockPreconditioner | WholePreconditioner
    rate: float | None  # iterations for each decade when it was new
    excess: float  # iterations spent since beyond that rate


def solve(hessian, single, b, start, rtol, frozen, checked=True):
    """Return ``(H^-1 b, Frozen)``: conjugate gradients with the frozen preconditioner, renewed where it is outdated.

    Parameters
    ----------
    hessian, single : Hessian
        H in float64 and in float32.
    b, start : array, shape of q; start may be None
    rtol : float
        Reduction of the residual in the norm of the preconditioner, relative to b.
    frozen : Frozen or None
    checked : bool
        Whether the last residual is computed in float64. A step of Newton's method does without, since the gradient
        that follows tells.

    Returns
    -------
    x : array, shape of q
        NaN where float64 failed too, or where, ``checked``, it does not come within `SLACK` of ``rtol``.
    frozen : Frozen
    """
    if not b.any():
        return np.zeros_like(b), frozen
    whole = b.size <= WHOLE
    if frozen is None or frozen.excess > (PATIENCE_WHOLE if whole else PATIENCE):
        frozen = Frozen(WholePreconditioner(hessian) if whole else BlockPreconditioner(single), None, 0.0)
    elif whole:
        frozen.precondition.update(hessian.q)
    x, r = (np.zeros_like(b), b) if start is None else (start, b - hessian.product(start))
    size, work, last = _norm(b, frozen.precondition), single, np.inf
    if whole and hessian.q.min() < SINGLE_RIDGE * np.abs(frozen.precondition.matrix).max():
        work = hessian
    for _ in range(MAX_ROUNDS):
        left = 1.0 if r is b else _norm(r, frozen.precondition) / size
        if not left > rtol:  # also where the numbers are not finite
            return x, frozen
        if left > 0.5 * last:  # rounding level of this precision
            if work is hessian:
                break
            work = hessian
        last = left
        asked = max(SINGLE_RTOL, 0.5 * rtol / left)
        change, iterations, decades = conjugate_gradients(work.product, r, frozen.precondition, asked, work.q.dtype)
        if change is None and work is hessian:
            break
        if change is None:
            work, last, frozen = hessian, np.inf, frozen._replace(excess=frozen.excess + iterations)
            continue
        x = x + change
        rate = iterations / max(decades, 1.0)
        frozen = frozen._replace(rate=rate) if frozen.rate is None else frozen
        frozen = frozen._replace(excess=frozen.excess + max(0.0, iterations - frozen.rate * decades))
        if asked > SINGLE_RTOL and not checked:
            return x, frozen  # what is left is below rtol
        r = b - hessian.product(x)
    return (x if checked and left <= SLACK * rtol else np.full_like(b, np.nan)), frozen


def _norm(r, precondition):
    """Return the norm of a residual in the metric of the preconditioner, after scaling it to float32's range."""
    scale = np.abs(r).max()
    if not (np.isfinite(scale) and scale > 0):
        return scale
    r = (r / scale).astype(np.float32)
    return scale * math.sqrt(max(float(np.vdot(r, precondition(r))), 0.0))


def conjugate_gradients(product, b, precondition, rtol, dtype=np.float32):
    """Return (x, iterations, decades gained) of preconditioned conjugate gradients on ``H x = b`` from 0.

    b and x are float64; the work is done in ``dtype`` on b scaled to largest entry 1. x is None where it failed.
    """
    dtype = np.dtype(dtype).type
    scale = np.abs(b).max()
    r = (b / scale).astype(dtype)
    x, y = np.zeros_like(r), precondition(r).astype(dtype)
    p, ry = y.copy(), float(np.vdot(r, y))
    first, k = ry, 0
    while not ry <= rtol**2 * first:
        if k == MAX_ITERATIONS or not ry <= MAX_GROWTH * first:  # also where it is not a number
            return None, k, 0.0
        Hp = product(p)
        step = dtype(ry / float(np.vdot(p, Hp)))
        x += step * p
        Hp *= step
        r -= Hp
        y = precondition(r)
        last, ry = ry, float(np.vdot(r, y))
        p *= dtype(ry / last)
        p += y
        k += 1
    return scale * x.astype(np.float64), k, 0.5 * math.log10(first / ry) if first > ry > 0 else 0.0
