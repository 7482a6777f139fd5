"""A small classification network as lower level: weighted rows, a ridge on all its entries."""

import dataclasses

from benchmark_utils.terms.links import MULTINOMIAL
from benchmark_utils.terms.term import QUANTITIES, Term


@dataclasses.dataclass(frozen=True)
class Network(Term):
    """``sum_i w_i s_i(x) CE(net(z; a_i), y_i) + ridge / 2 ‖z‖^2``, not convex in z.

    ``net(z; a) = phi(a W1 + b1) W2 + b2``; z is a dict with "W1" of shape (features, units),
    "b1", "W2" of shape (units, classes) and "b2", in this order. Rows have "features" and
    one-hot "targets".

    Attributes
    ----------
    ridge : float
    weighted : bool
        Whether row i weighs s_i(x) = sigmoid(x_i), x of shape (n,), instead of 1.
    units : {"tanh", "sigmoid"}
        phi.
    """

    ridge: float = 0.0
    weighted: bool = False
    units: str = "tanh"

    closed_forms = frozenset(QUANTITIES)

    @property
    def uses_x(self):
        """Whether the value depends on x: through the weights of the rows."""
        return self.weighted

    def predictions(self, xp, z, rows):
        """Return the logits of the rows, shape (b, classes)."""
        return self._layers(xp, z, rows)[1]

    def _layers(self, xp, z, rows):
        phi = {"tanh": xp.tanh, "sigmoid": xp.sigmoid}[self.units]
        units = phi(rows["features"] @ z["W1"] + z["b1"])
        return units, units @ z["W2"] + z["b2"]

    def _slopes(self, units):
        """Return phi' and phi'' / phi' where phi has the values ``units``."""
        if self.units == "tanh":
            return 1 - units * units, -2 * units
        return units * (1 - units), 1 - 2 * units

    def _shares(self, xp, x, rows):
        return xp.sigmoid(xp.take(x, rows["ids"], axis=0)) if self.weighted else 1.0

    def sample_values(self, xp, z, x, rows):
        """Return the loss of each row, weight s_i(x) included, shape (b,)."""
        losses = MULTINOMIAL.value(xp, self.predictions(xp, z, rows), rows["targets"])
        return self._shares(xp, x, rows) * losses

    def penalty(self, xp, z, x):
        """Return the penalty, a scalar."""
        return 0.5 * self.ridge * sum(xp.sum(array * array) for array in z.values())

    def derivatives(self, xp, want, z, x, v, rows, weights):
        """Return the quantities ``want`` from one pass over the rows; see `Term.derivatives`.

        H v is the gradient differentiated along v: the two layers, then their slopes.
        """
        a, y, out = rows["features"], rows["targets"], {}
        units, u = self._layers(xp, z, rows)
        slope, bend = self._slopes(units)
        s = self._shares(xp, x, rows)
        w = (weights * s)[:, None]
        if "hvp" in want or "cross" in want:
            d_units = slope * (a @ v["W1"] + v["b1"])
            du = d_units @ z["W2"] + units @ v["W2"] + v["b2"]
            first, curved = MULTINOMIAL.both(xp, u, y)
        else:
            first = MULTINOMIAL.gradient(xp, u, y)
        slopes = w * first
        inner = slopes @ z["W2"].T
        if "value" in want:
            losses = weights * s * MULTINOMIAL.value(xp, u, y)
            out["value"] = xp.sum(losses) + self.penalty(xp, z, x)
        if "grad_z" in want:
            flat = inner * slope
            out["grad_z"] = self._gathered(xp, z, a, flat, units.T @ slopes, slopes)
        if "hvp" in want:
            d_slopes = w * curved(du)
            d_flat = (d_slopes @ z["W2"].T + slopes @ v["W2"].T) * slope
            d_flat = d_flat + inner * bend * d_units
            of_W2 = d_units.T @ slopes + units.T @ d_slopes
            out["hvp"] = self._gathered(xp, v, a, d_flat, of_W2, d_slopes)
        if "grad_x" in want:
            out["grad_x"] = self._in_x(xp, x, rows, weights, MULTINOMIAL.value(xp, u, y), s)
        if "cross" in want:
            out["cross"] = self._in_x(xp, x, rows, weights, xp.sum(first * du, axis=1), s)
        return out

    def _gathered(self, xp, direction, a, of_units, of_W2, of_logits):
        """Return the derivative in z of the loss, and of the ridge along ``direction``."""
        out = {
            "W1": a.T @ of_units,
            "b1": xp.sum(of_units, axis=0),
            "W2": of_W2,
            "b2": xp.sum(of_logits, axis=0),
        }
        return {name: array + self.ridge * direction[name] for name, array in out.items()}

    def _in_x(self, xp, x, rows, weights, values, s):
        """Return the derivative in x where the rows' weights multiply ``values``, (b,)."""
        if not self.weighted:
            return xp.zeros_like(x)
        return xp.segment_sum(weights * s * (1 - s) * values, rows["ids"], x.shape[0])
