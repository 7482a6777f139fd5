"""Few-shot tasks: a last layer for each task on the features of one shared network."""

import dataclasses

from benchmark_utils.terms.links import MULTINOMIAL
from benchmark_utils.terms.term import QUANTITIES, Term


@dataclasses.dataclass(frozen=True)
class LastLayer(Term):
    """``mean_j CE(z_i; f(a_ij), y_ij) + ridge / 2 ‖z_i‖^2`` of each task i.

    The features ``f(a) = tanh(tanh(a W1 + b1) W2 + b2)`` are those of the shared network x, a
    dict with "W1" of shape (pixels, units), "b1", "W2" of shape (units, features) and "b2", in
    this order. z has shape (b, features, classes), one entry a task. Rows have "images" of
    shape (b, shots, pixels) and one-hot "targets" of shape (b, shots, classes) (Grazzi, Pontil
    and Salzo, JMLR 24(167), 2023, section 7.2).

    Attributes
    ----------
    ridge : float
        0 for the upper level.
    """

    ridge: float = 0.0

    closed_forms = frozenset(QUANTITIES)

    def features(self, xp, x, rows):
        """Return the features of the images, shape (b, shots, features)."""
        return self._layers(xp, x, rows)[1]

    def _layers(self, xp, x, rows):
        units = xp.tanh(rows["images"] @ x["W1"] + x["b1"])
        return units, xp.tanh(units @ x["W2"] + x["b2"])

    def sample_values(self, xp, z, x, rows):
        """Return the loss of each task, ridge included, shape (b,)."""
        return self._values(xp, self.features(xp, x, rows) @ z, z, rows["targets"])

    def _values(self, xp, u, z, y):
        losses = MULTINOMIAL.value(xp, _merged(u), _merged(y)).reshape(y.shape[:2])
        of_ridge = xp.sum((z * z).reshape((z.shape[0], -1)), axis=1)
        return xp.sum(losses, axis=1) / y.shape[1] + 0.5 * self.ridge * of_ridge

    def derivatives(self, xp, want, z, x, v, rows, weights):
        """Return the quantities ``want``; see `Term.derivatives`."""
        units, f = self._layers(xp, x, rows)
        y, u, f_T, out = rows["targets"], f @ z, _swapped(f), {}
        shots = y.shape[1]
        if "hvp" in want or "cross" in want:
            first, curved = MULTINOMIAL.both(xp, _merged(u), _merged(y))
            second = curved(_merged(f @ v)).reshape(u.shape) / shots
        else:
            first = MULTINOMIAL.gradient(xp, _merged(u), _merged(y))
        first = first.reshape(u.shape) / shots
        if "value" in want:
            out["value"] = xp.sum(weights * self._values(xp, u, z, y))
        if "grad_z" in want:
            out["grad_z"] = f_T @ first + self.ridge * z
        if "hvp" in want:
            out["hvp"] = f_T @ second + self.ridge * v
        w = weights[:, None, None]
        if "grad_x" in want:
            out["grad_x"] = self._pulled_back(x, rows, units, f, w * (first @ _swapped(z)))
        if "cross" in want:
            slopes = second @ _swapped(z) + first @ _swapped(v)
            out["cross"] = self._pulled_back(x, rows, units, f, w * slopes)
        return out

    def _pulled_back(self, x, rows, units, f, slopes):
        """Return the derivative in x from that in the features, (b, shots, features)."""
        at_second = _merged(slopes * (1 - f * f))
        units = _merged(units)
        at_first = (at_second @ x["W2"].T) * (1 - units * units)
        return {
            "W1": _merged(rows["images"]).T @ at_first,
            "b1": at_first.sum(0),
            "W2": units.T @ at_second,
            "b2": at_second.sum(0),
        }


def _merged(a):
    """Return the images of all tasks along one axis, shape (b shots, ...)."""
    return a.reshape((-1, a.shape[-1]))


def _swapped(a):
    """Return the transposed matrix of each task."""
    return a.swapaxes(1, 2)
