"""Equilibrium models: one fixed point of a recurrent layer for each image, and its read-out."""

import dataclasses

from benchmark_utils.terms.links import MULTINOMIAL
from benchmark_utils.terms.term import Term


@dataclasses.dataclass(frozen=True)
class Equilibrium(Term):
    """The map ``Phi_i(z, x) = tanh(A z_i + B u_i + c)`` of each image.

    Its problem has tasks: z has shape (b, states), one row an image. x is a dict with "A" of
    shape (states, states), "B" of shape (states, pixels), "c" of shape (states,) and what the
    read-out has; for ``‖A‖_2 < 1`` the map is a contraction. Rows have "features", the u_i of
    shape (b, pixels) (Grazzi, Pontil and Salzo, JMLR 24(167), 2023, section 7.1).
    """

    is_map = True
    closed_forms = frozenset(("grad_z", "hvp", "cross"))

    def sample_values(self, xp, z, x, rows):
        """Return the map of each image, shape (b, states)."""
        rows = rows if "drive" in rows else self.prepared(xp, x, rows)
        return xp.tanh(z @ x["A"].T + rows["drive"])

    def prepared(self, xp, x, rows):
        """Return the rows with "drive", B u_i + c: with many pixels most of the work of the map."""
        return rows | {"drive": rows["features"] @ x["B"].T + x["c"]}

    def product_at(self, xp, z, x, rows):
        """Return ``v -> H v`` at z, whose map is computed once."""
        phi = self.sample_values(xp, z, x, rows)
        slopes = 1 - phi * phi
        return lambda v: v - (v * slopes) @ x["A"]

    def derivatives(self, xp, want, z, x, v, rows, weights):
        """Return the quantities ``want``; see `Term.derivatives`."""
        phi, out = self.sample_values(xp, z, x, rows), {}
        if "grad_z" in want:
            out["grad_z"] = z - phi
        if "hvp" in want or "cross" in want:
            pulled = v * (1 - phi * phi)
        if "hvp" in want:
            out["hvp"] = v - pulled @ x["A"]
        if "cross" in want:
            pulled = -weights[:, None] * pulled
            out["cross"] = {name: xp.zeros_like(array) for name, array in x.items()} | {
                "A": pulled.T @ z,
                "B": pulled.T @ rows["features"],
                "c": xp.sum(pulled, axis=0),
            }
        return out


@dataclasses.dataclass(frozen=True)
class ReadOut(Term):
    """Cross-entropy of ``softmax(D z_i + b)``, one row a task.

    z has shape (b, states); x is a dict with "D" of shape (classes, states), "b" of shape
    (classes,) and entries that do not matter here. Rows have one-hot "targets" of shape (b,
    classes).
    """

    closed_forms = frozenset(("value", "grad_z", "grad_x"))

    def sample_values(self, xp, z, x, rows):
        """Return the loss of each row, shape (b,)."""
        return MULTINOMIAL.value(xp, self.predictions(xp, z, x), rows["targets"])

    def predictions(self, xp, z, x):
        """Return the logits, shape (b, classes)."""
        return z @ x["D"].T + x["b"]

    def derivatives(self, xp, want, z, x, v, rows, weights):
        """Return the quantities ``want``; see `Term.derivatives`."""
        u, y, out = self.predictions(xp, z, x), rows["targets"], {}
        if "value" in want:
            out["value"] = xp.sum(weights * MULTINOMIAL.value(xp, u, y))
        slopes = MULTINOMIAL.gradient(xp, u, y)
        if "grad_z" in want:
            out["grad_z"] = slopes @ x["D"]
        if "grad_x" in want:
            slopes = weights[:, None] * slopes
            out["grad_x"] = {name: xp.zeros_like(array) for name, array in x.items()} | {
                "D": slopes.T @ z,
                "b": xp.sum(slopes, axis=0),
            }
        return out
