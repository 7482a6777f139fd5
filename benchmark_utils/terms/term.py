"""What every term of a problem is: F, G or Phi as a frozen object that holds no arrays.

A term is a weighted sum over rows plus an optional penalty, written once against an array namespace ``xp``
(`jax.numpy`, torch or NumPy, extended as `benchmark_utils.backends` says). Oracles differentiate it automatically; a
term that states its derivatives in closed form is faster, and is all that the float64 evaluation needs.
"""

import dataclasses

#: What `Term.derivatives` may be asked for.
QUANTITIES = ("value", "grad_z", "grad_x", "hvp", "cross")


@dataclasses.dataclass(frozen=True)
class Term:
    """Base of all terms: subclasses define `sample_values` and, where they can, `penalty` and `derivatives`.

    Rows are a dict of arrays whose first axis runs over the rows of a batch, with their numbers in the problem's own
    order under "ids". z and x arrive in the problem's shapes: an array, or a dict of arrays. In a problem with tasks
    z has a leading axis, one entry a row of the batch, and row i of the result depends on z[i] alone.
    """

    #: Quantities of `QUANTITIES` that `derivatives` gives.
    closed_forms = frozenset()
    #: Whether the term is a map (Phi) instead of a loss.
    is_map = False
    #: Whether the value depends on x; where it does not, grad_x is zero everywhere.
    uses_x = True
    #: ``cross_of_rows(xp, z, x, v, rows, weights) -> (ids, values)``, where each row of the batch has a row of x of its
    #: own: C v is zero but for ``values`` added to the rows ``ids`` of x. None where a batch moves x as a whole.
    cross_of_rows = None
    #: Whether what `prepared` gives is kept by an iteration, for all calls that hold x fixed.
    prepares = False

    def sample_values(self, xp, z, x, rows):
        """Return the loss of each row, shape (b,); for a map, its value for each row, shape (b, ...)."""
        raise NotImplementedError

    def penalty(self, xp, z, x):
        """Return the penalty, a scalar that is not averaged over rows; 0 where there is none."""
        return 0

    def value(self, xp, z, x, rows, weights):
        """Return ``sum_i w_i loss_i + penalty``, a scalar; for a map, ``sum_i w_i Phi_i``, the shape of z."""
        values = self.sample_values(xp, z, x, rows)
        if values.ndim > 1:
            weights = weights.reshape((-1,) + (1,) * (values.ndim - 1))
            return xp.sum(weights * values, axis=0)
        return xp.sum(weights * values) + self.penalty(xp, z, x)

    def derivatives(self, xp, want, z, x, v, rows, weights):
        """Return dict of the quantities ``want`` (a set) from one pass over the rows.

        Parameters
        ----------
        want : frozenset of str
            Names of `QUANTITIES`, all of them in ``closed_forms``.
        z, x : array or dict of arrays
        v : array or dict of arrays, or None
            Direction of the products, with the shape of z.
        rows : dict of arrays
        weights : array of shape (b,)

        Returns
        -------
        dict
            "value", a scalar; "grad_z" and "hvp" (H v), the shape of z; "grad_x" and "cross" (C v, the gradient in x
            of <grad_z, v>), the shape of x. For a map, "grad_z" is ``z - Phi(z, x)``, "hvp" its transposed Jacobian
            in z applied to v and "cross" that in x. With tasks "grad_z" and "hvp" are those of each task, without its
            weight, and the others are sums weighted by ``weights``.
        """
        raise NotImplementedError(f"{type(self).__name__} states no closed forms")

    def kept_numbers(self, rows):
        """Return about how many numbers an iteration keeps for a row, besides the row itself; 0 where they are few."""
        del rows
        return 0

    def prepared(self, xp, x, rows):
        """Return the rows with what depends on them and x alone, for iterations in z at one x."""
        return rows

    def product_at(self, xp, z, x, rows):
        """Return the function ``v -> H v``, for iterations at one z and x."""
        return lambda v: self.derivatives(xp, {"hvp"}, z, x, v, rows, None)["hvp"]
