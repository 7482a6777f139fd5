"""Quadratic samples in factor form, and an affine contraction."""

import dataclasses

from benchmark_utils.terms.term import QUANTITIES, Term


@dataclasses.dataclass(frozen=True)
class Quadratic(Term):
    """``mean_i 1/2 (a_i.z)^2 + 1/2 (b_i.x)^2 + (r_i.x)(s_i.z) + c_i.z + e_i.x``.

    Rows have the factors "a", "s", "c" of shape (b, p) and "b", "r", "e" of shape (b, d): the rank-one Hessians stay
    factors, so that a block of b rows costs O(b (p + d)).
    """

    closed_forms = frozenset(QUANTITIES)

    def sample_values(self, xp, z, x, rows):
        """Return the value of each row, shape (b,)."""
        a_z, s_z, c_z = rows["a"] @ z, rows["s"] @ z, rows["c"] @ z
        b_x, r_x, e_x = rows["b"] @ x, rows["r"] @ x, rows["e"] @ x
        return 0.5 * a_z * a_z + 0.5 * b_x * b_x + r_x * s_z + c_z + e_x

    def derivatives(self, xp, want, z, x, v, rows, weights):
        """Return the quantities ``want``; see `Term.derivatives`."""
        out, w = {}, weights
        if "value" in want:
            out["value"] = xp.sum(w * self.sample_values(xp, z, x, rows))
        if "grad_z" in want:
            out["grad_z"] = (w * (rows["a"] @ z)) @ rows["a"] + (w * (rows["r"] @ x)) @ rows["s"] + w @ rows["c"]
        if "grad_x" in want:
            out["grad_x"] = (w * (rows["b"] @ x)) @ rows["b"] + (w * (rows["s"] @ z)) @ rows["r"] + w @ rows["e"]
        if "hvp" in want:
            out["hvp"] = (w * (rows["a"] @ v)) @ rows["a"]
        if "cross" in want:
            out["cross"] = (w * (rows["s"] @ v)) @ rows["r"]
        return out


@dataclasses.dataclass(frozen=True)
class AffineMap(Term):
    """The map ``Phi(z, x) = mean_i left_i (right_i . z) + x + shift_i``, a contraction for small factors.

    Rows have "left", "right" and "shift", all of shape (b, p); x has the shape of z.
    """

    is_map = True
    closed_forms = frozenset(("grad_z", "hvp", "cross"))

    def sample_values(self, xp, z, x, rows):
        """Return the map of each row, shape (b, p)."""
        return rows["left"] * (rows["right"] @ z)[:, None] + x[None, :] + rows["shift"]

    def derivatives(self, xp, want, z, x, v, rows, weights):
        """Return the quantities ``want``; see `Term.derivatives`."""
        out, w = {}, weights
        if "grad_z" in want:
            out["grad_z"] = z - (w * (rows["right"] @ z)) @ rows["left"] - xp.sum(w) * x - w @ rows["shift"]
        if "hvp" in want:
            out["hvp"] = v - (w * (rows["left"] @ v)) @ rows["right"]
        if "cross" in want:
            out["cross"] = -xp.sum(w) * v
        return out
