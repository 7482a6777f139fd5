"""Few-shot tasks: a last layer for each task on the features of one shared network."""

import dataclasses
from typing import Any

from benchmark_utils.terms.features import TwoLayers, merged
from benchmark_utils.terms.links import MULTINOMIAL
from benchmark_utils.terms.term import QUANTITIES, Term

#: What is in closed form whatever the network is: the derivatives in z.
IN_Z = frozenset(("value", "grad_z", "hvp"))


@dataclasses.dataclass(frozen=True)
class LastLayer(Term):
    """``mean_j CE(z_i; f(a_ij), y_ij) + ridge / 2 ‖z_i‖^2`` of each task i.

    f are the features of the shared network with the parameters x. z has shape (b, features,
    classes), one entry a task. Rows have what the network takes and one-hot "targets" of shape
    (b, shots, classes) (Grazzi, Pontil and Salzo, JMLR 24(167), 2023, section 7.2).

    Attributes
    ----------
    ridge : float
        0 for the upper level.
    network : TwoLayers or Convolutions
        See `benchmark_utils.terms.features`.
    """

    ridge: float = 0.0
    network: Any = dataclasses.field(default_factory=TwoLayers)

    @property
    def closed_forms(self):
        """All quantities where the network states its derivative, else those that need none."""
        return frozenset(QUANTITIES) if self.network.closed_form else IN_Z

    @property
    def prepares(self):
        """Features are kept where they are dear."""
        return not self.network.closed_form

    def kept_numbers(self, rows):
        """Return about how many numbers an iteration keeps for a task: what its images leave in the network."""
        return rows["images"].shape[1] * self.network.kept_numbers

    def prepared(self, xp, x, rows):
        """Return the rows with their features, for the steps of z at this x."""
        return rows | {"features": self.network.features(xp, x, rows)}

    def features(self, xp, x, rows):
        """Return the features of the images, shape (b, shots, features)."""
        return rows["features"] if "features" in rows else self.network.features(xp, x, rows)

    def sample_values(self, xp, z, x, rows):
        """Return the loss of each task, ridge included, shape (b,)."""
        return self._values(xp, self.features(xp, x, rows) @ z, z, rows["targets"])

    def _values(self, xp, u, z, y):
        losses = MULTINOMIAL.value(xp, merged(u), merged(y)).reshape(y.shape[:2])
        of_ridge = xp.sum((z * z).reshape((z.shape[0], -1)), axis=1)
        return xp.sum(losses, axis=1) / y.shape[1] + 0.5 * self.ridge * of_ridge

    def derivatives(self, xp, want, z, x, v, rows, weights):
        """Return the quantities ``want``; see `Term.derivatives`."""
        f = self.features(xp, x, rows)
        y, u, f_T, out = rows["targets"], f @ z, _swapped(f), {}
        shots = y.shape[1]
        if "hvp" in want or "cross" in want:
            first, curved = MULTINOMIAL.both(xp, merged(u), merged(y))
            second = curved(merged(f @ v)).reshape(u.shape) / shots
        else:
            first = MULTINOMIAL.gradient(xp, merged(u), merged(y))
        first = first.reshape(u.shape) / shots
        if "value" in want:
            out["value"] = xp.sum(weights * self._values(xp, u, z, y))
        if "grad_z" in want:
            out["grad_z"] = f_T @ first + self.ridge * z
        if "hvp" in want:
            out["hvp"] = f_T @ second + self.ridge * v
        w = weights[:, None, None]
        if "grad_x" in want:
            out["grad_x"] = self.network.pulled_back(xp, x, rows, w * (first @ _swapped(z)))
        if "cross" in want:
            slopes = second @ _swapped(z) + first @ _swapped(v)
            out["cross"] = self.network.pulled_back(xp, x, rows, w * slopes)
        return out


def _swapped(a):
    """Return the transposed matrix of each task."""
    return a.swapaxes(1, 2)
