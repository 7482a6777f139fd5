"""Approximate solutions v of ``H v + b = 0`` (so v ~ -H^{-1} b), one function each, all with one signature.

Every function takes ``(oracles, hvp, b, v0, eta, n)``: ``hvp(k, v)`` is the product with the k-th drawn Hessian,
``b = grad_z F``, ``v0`` a warm start, ``eta`` the step, ``n`` the number of products. Methods that start from b
by construction ignore ``v0``.
"""


def shia(oracles, hvp, b, v0, eta, n):
    """Truncated Neumann series, ``v = -eta sum_{i=0}^{n} prod_{k<i} (I - eta H_k) b``: n + 1 terms, n products.

    Ji, Yang, Liang, ICML 2021, arXiv:2010.07962, Algorithm 3; with one deterministic H the plain Neumann series,
    whose error is ``(I - eta H)^{n+1} H^{-1} b``.
    """
    del v0

    def term(k, carry):
        r, s = carry
        r = r - eta * hvp(k, r)
        return r, s + r

    return -eta * oracles.repeat(n, term, (b, b))[1]


def hia(oracles, hvp, b, v0, eta, n, length):
    """One random term of the series, ``v = -n eta prod_{k<length} (I - eta H_k) b`` with ``length`` uniform in 0..n-1.

    Ghadimi, Wang 2018, arXiv:1802.02246, Section 3. Its expectation over ``length`` is the series with n terms,
    whose error is ``(I - eta H)^n H^{-1} b``. Only the first ``length`` products run and are counted.
    """
    del v0
    return -n * eta * oracles.repeat(length, lambda k, r: r - eta * hvp(k, r), b)


def sgd(oracles, hvp, b, v0, eta, n):
    """``n`` steps ``v <- v - eta (H_k v + b)`` from ``v0``."""
    return oracles.repeat(n, lambda k, v: v - eta * (hvp(k, v) + b), v0)


def normal(oracles, hvp, b, v0, eta, n):
    """``n`` steps ``v <- v - eta H_k' (H_k v + b)`` on the normal equations from ``v0``; needs symmetric H.

    ``hvp(k, j, v)`` is the product with the j-th of the two Hessians of step k; drawn independently of each other they
    leave the step unbiased for the gradient of 1/2 ‖H v + b‖^2.
    """
    oracles.need_symmetry()
    return oracles.repeat(n, lambda k, v: v - eta * hvp(k, 1, hvp(k, 0, v) + b), v0)


def cg(oracles, hvp, b, v0, eta, n):
    """``n`` steps of conjugate gradients on ``H v = -b`` from ``v0``, n + 1 products; needs symmetric H > 0.

    ``v0 = None`` starts from zero, where the residual is known, and takes n products. Returns the iterate after the
    last step (a known published code returns the one before). There is no step size. Once the residual is zero further
    steps change nothing; a direction without curvature is not followed.
    """
    del eta
    oracles.need_symmetry()
    xp = oracles.bk.xp
    v0, r = (0 * b, -b) if v0 is None else (v0, -b - hvp(0, v0))

    def ratio(a, c):
        return xp.where(c > 0, a / xp.where(c > 0, c, c + 1), a * 0)

    def step(k, carry):
        v, r, p, rr = carry
        Hp = hvp(k, p)
        alpha = ratio(rr, oracles.dot(p, Hp))
        v, r = v + alpha * p, r - alpha * Hp
        rr_new = oracles.dot(r, r)
        return v, r, r + ratio(rr_new, rr) * p, rr_new

    return oracles.repeat(n, step, (v0, r, r, oracles.dot(r, r)))[0]
