"""Link losses of generalised linear terms: functions of the predictions u = A z, with two derivatives in u.

Written once against an array namespace ``xp``; the tests compare the derivatives with automatic differentiation.
"""

from collections.abc import Callable
from typing import NamedTuple


class Link(NamedTuple):
    """Loss of one row as a function of its predictions u (shape (b,) or (b, c)) and targets y."""

    value: Callable  # (xp, u, y) -> (b,)
    gradient: Callable  # (xp, u, y) -> derivative in u, shape of u
    hessian: Callable  # (xp, u, y) -> the function du -> second derivative in u applied to du, shape of u
    both: Callable  # (xp, u, y) -> (gradient, hessian), sharing their work
    curvature: float  # largest eigenvalue of the second derivative in u, over all u

    def hessian_product(self, xp, u, y, du):
        """Return the second derivative in u applied to du, shape of u."""
        return self.hessian(xp, u, y)(du)

    def times(self, factor):
        """Return the link of ``factor`` times this loss."""

        def hessian(xp, u, y):
            curved = self.hessian(xp, u, y)
            return lambda du: factor * curved(du)

        gradient = lambda xp, u, y: factor * self.gradient(xp, u, y)
        return Link(
            value=lambda xp, u, y: factor * self.value(xp, u, y),
            gradient=gradient,
            hessian=hessian,
            both=lambda xp, u, y: (gradient(xp, u, y), hessian(xp, u, y)),
            curvature=abs(factor) * self.curvature,
        )


def _logistic_value(xp, u, y):
    margin = -y * u
    return xp.logaddexp(xp.zeros_like(margin), margin)


def _logistic_both(xp, u, y):
    s = xp.sigmoid(-y * u)  # y = -1 or +1, so s (1 - s) is also the curvature in u
    c = s * (1 - s)
    return -y * s, lambda du: c * du


#: log(1 + exp(-y u)) with y = -1 or +1.
LOGISTIC = Link(
    value=_logistic_value,
    gradient=lambda xp, u, y: -y * xp.sigmoid(-y * u),
    hessian=lambda xp, u, y: _logistic_both(xp, u, y)[1],
    both=_logistic_both,
    curvature=0.25,
)


def _softmax(xp, u):
    return xp.exp(u - xp.logsumexp(u, 1)[:, None])


def _multinomial_both(xp, u, y):
    share = _softmax(xp, u)

    def product(du):
        s = share * du
        return s - share * xp.sum(s, axis=1)[:, None]

    return share - y, product


#: Cross-entropy of softmax(u) against one-hot targets y of shape (b, c).
MULTINOMIAL = Link(
    value=lambda xp, u, y: xp.logsumexp(u, 1) - xp.sum(y * u, axis=1),
    gradient=lambda xp, u, y: _softmax(xp, u) - y,
    hessian=lambda xp, u, y: _multinomial_both(xp, u, y)[1],
    both=_multinomial_both,
    curvature=0.5,
)

LINKS = {"logistic": LOGISTIC, "multinomial": MULTINOMIAL}
