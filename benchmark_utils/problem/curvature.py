"""The curvature of G at the start, from which start values of step sizes are chosen: L and mu, measured in float64."""

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, eigsh

from benchmark_utils.problem.namespace import xp
from benchmark_utils.problem.variables import flatten, unflatten

#: Most rows that are looked at, drawn with the data seed, and relative error of L.
ROWS, TOLERANCE = 4096, 1e-2

#: Most entries of z for which mu is measured, from a dense matrix.
DENSE = 1000


def hessian_at_start(view):
    """Return H at the start (z0, x0) as a SciPy `LinearOperator` in float64, or None where NumPy cannot tell.

    That is the case for fixed points, tasks and terms without a Hessian-vector product in closed form.
    """
    term = view.inner
    if term.is_map or view.tasks is not None or "hvp" not in term.closed_forms:
        return None
    n = view.n_samples("inner")
    rng = np.random.default_rng(view.data_seed)
    ids = np.sort(rng.permutation(n)[:ROWS])
    take = lambda a: sp.csr_array(a)[ids].astype(np.float64) if sp.issparse(a) else np.asarray(a)[ids]
    rows = {name: take(array) for name, array in view.rows["inner"].items()} | {"ids": ids}
    weights = np.full(len(ids), 1 / len(ids))
    z0, x0 = view.init(np.random.default_rng(0))
    z, x = unflatten(xp, z0, view.inner_shape), unflatten(xp, x0, view.outer_shape)

    def product(v):
        v = unflatten(xp, np.ravel(v), view.inner_shape)
        out = term.derivatives(xp, frozenset(("hvp",)), z, x, v, rows, weights)["hvp"]
        return flatten(xp, out, shape=view.inner_shape)

    return LinearOperator((len(z0),) * 2, matvec=product, dtype=np.float64)


def largest_eigenvalue(hessian):
    """Return the largest eigenvalue of a symmetric operator, to 1 %."""
    p = hessian.shape[0]
    if p < 4:  # too few for the Lanczos method
        return float(scipy.linalg.eigvalsh(hessian @ np.eye(p))[-1])
    first = np.random.default_rng(0).standard_normal(p)
    (value,) = eigsh(hessian, k=1, v0=first, tol=TOLERANCE, ncv=min(p, 8), return_eigenvectors=False)
    return float(value)


def smallest_eigenvalue(hessian):
    """Return the smallest eigenvalue of a symmetric operator, or None where it is too large for a dense matrix."""
    p = hessian.shape[0]
    return float(scipy.linalg.eigvalsh(hessian @ np.eye(p))[0]) if p <= DENSE else None
