"""Losses, written once against an array namespace ``xp`` and shared by both backends and the reference solver.

``xp`` is `jax.numpy`, torch or NumPy, extended by the few functions listed in `benchmark_utils.backends`.

A level (G or F) is an average over its samples plus an optional ridge penalty:

    level(z, x) = sum_i w_i s_i(x) loss_i(z, x) + 1/2 sum_k q_k(x) z_k^2

with block weights w_i, sample weights s_i (1, or sigmoid(x_i) for hyper-cleaning) and penalty weights q(x).
Generalised linear losses are functions of the predictions u = A z alone; they also state their first two
derivatives in u, which the float64 reference uses and which the tests compare with automatic differentiation.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from benchmark_utils.sampling import SparseRows


def matmul(xp, rows, z, n_rows):
    """Return ``rows @ z`` for dense rows of shape (n_rows, p) or `SparseRows`; z has shape (p,) or (p, c)."""
    if not isinstance(rows, SparseRows):
        return rows @ z
    picked = xp.take(z, rows.columns, axis=0)
    values = rows.values if z.ndim == 1 else rows.values[:, None]
    return xp.segment_sum(values * picked, rows.rows, n_rows)


class GLMLoss(NamedTuple):
    """Loss of one sample as a function of its predictions u (shape (b,) or (b, c)) and targets y."""

    value: Callable  # (xp, u, y) -> (b,)
    gradient: Callable  # (xp, u, y) -> derivative in u, shape of u
    hessian: Callable  # (xp, u, y) -> the function du -> second derivative in u applied to du, shape of u
    curvature: float  # largest eigenvalue of the second derivative in u, over all u

    def hessian_product(self, xp, u, y, du):
        """Return the second derivative in u applied to du, shape of u."""
        return self.hessian(xp, u, y)(du)


def _logistic_value(xp, u, y):
    margin = -y * u
    return xp.logaddexp(xp.zeros_like(margin), margin)


def _logistic_hessian(xp, u, y):
    s = xp.sigmoid(u)
    s = s * (1 - s)
    return lambda du: s * du


#: log(1 + exp(-y u)) with y = -1 or +1.
LOGISTIC = GLMLoss(
    value=_logistic_value,
    gradient=lambda xp, u, y: -y * xp.sigmoid(-y * u),
    hessian=_logistic_hessian,
    curvature=0.25,
)


def _softmax(xp, u):
    return xp.exp(u - xp.logsumexp(u, 1)[:, None])


def _multinomial_hessian(xp, u, y):
    share = _softmax(xp, u)

    def product(du):
        s = share * du
        return s - share * xp.sum(s, axis=1)[:, None]

    return product


#: Cross-entropy of softmax(u) against one-hot targets y of shape (b, c).
MULTINOMIAL = GLMLoss(
    value=lambda xp, u, y: xp.logsumexp(u, 1) - xp.sum(y * u, axis=1),
    gradient=lambda xp, u, y: _softmax(xp, u) - y,
    hessian=_multinomial_hessian,
    curvature=0.5,
)

GLM_LOSSES = {"logistic": LOGISTIC, "multinomial": MULTINOMIAL}


def quadratic(xp, z, x, rows):
    """Return 1/2 (a_i.z)^2 + 1/2 (b_i.x)^2 + (r_i.x)(s_i.z) + c_i.z + e_i.x for each row, shape (b,).

    The rank-one Hessians stay in factor form, so a block of b rows costs O(b (p + d)).
    """
    a_z, s_z, c_z = rows["a"] @ z, rows["s"] @ z, rows["c"] @ z
    b_x, r_x, e_x = rows["b"] @ x, rows["r"] @ x, rows["e"] @ x
    return 0.5 * a_z * a_z + 0.5 * b_x * b_x + r_x * s_z + c_z + e_x


def affine_map(xp, z, x, rows):
    """Return the per-sample fixed-point map Phi_i(z, x) = M z + x + a_i (E) with shared M, shape (b, p).

    Rows carry M as factors: Phi_i(z, x) = left_i (right_i . z) + x + shift_i.
    """
    return rows["left"] * (rows["right"] @ z)[:, None] + x[None, :] + rows["shift"]


#: Losses and maps that are not generalised linear: name -> (xp, z, x, rows) -> one entry per sample.
SAMPLE_FUNCTIONS = {"quadratic": quadratic, "affine_map": affine_map}


def sample_values(xp, level, z, x, rows, n_rows):
    """Return the loss (or the fixed-point map) of each row, sample weights included.

    Parameters
    ----------
    level : benchmark_utils.problem.Level
    z, x : array or dict of arrays
        Inner and outer variables in the problem's shapes.
    rows : dict
        Arrays of the rows, and their ids under "ids".
    n_rows : int
        Number of rows, padding included.
    """
    if level.loss in SAMPLE_FUNCTIONS:
        return SAMPLE_FUNCTIONS[level.loss](xp, z, x, rows)
    u = matmul(xp, rows["features"], z, n_rows)
    values = GLM_LOSSES[level.loss].value(xp, u, rows["targets"])
    if level.sample_weights == "sigmoid":
        values = xp.sigmoid(xp.take(x, rows["ids"], axis=0)) * values
    return values


def penalty_weights(xp, level, x):
    """Return q(x), broadcastable to z, of the level's ridge penalty 1/2 sum_k q_k(x) z_k^2.

    ``level.penalty`` is ``(name, scale)``: "exp_features" has q_kc = scale exp(x_k), "exp_classes" has
    q_kc = scale exp(x_c), and "constant" has q = scale.
    """
    name, scale = level.penalty
    if name == "constant":
        return scale
    q = scale * xp.exp(x)
    return q[:, None] if name == "exp_features" and level.n_classes > 1 else q


def penalty(xp, level, z, x):
    """Return 1/2 sum_k q_k(x) z_k^2, with `penalty_weights` q."""
    name, scale = level.penalty
    squares = z * z
    if name == "constant":
        return 0.5 * scale * xp.sum(squares)
    if level.n_classes > 1:  # first over the entries that share a weight: a third less time on 20 Newsgroups
        squares = xp.sum(squares, axis=1 if name == "exp_features" else 0)
    return 0.5 * scale * xp.sum(xp.exp(x) * squares)


def level_value(xp, level, z, x, rows: dict[str, Any], weights):
    """Return the level's value on the given rows: weighted sum of the sample losses plus the penalty."""
    value = xp.sum(weights * sample_values(xp, level, z, x, rows, weights.shape[0]))
    return value if level.penalty is None else value + penalty(xp, level, z, x)
