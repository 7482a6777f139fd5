"""The oracles: the only way an algorithm touches the problem. Each call is counted, in samples, in the ledger.

A batch is a block id drawn by the plan (an integer, possibly traced) or `FULL`, the whole sum. z, v and x are
flat vectors; the problem's shapes live behind this interface. See `benchmark_utils.problem` for H, C and signs.
"""

import dataclasses

from benchmark_utils.ledger import Ledger
from benchmark_utils.losses import level_value, sample_values
from benchmark_utils.problem import flatten, unflatten
from benchmark_utils.projections import project
from benchmark_utils.sampling import SparseRows

#: Batch that stands for all samples of a level.
FULL = "full"


@dataclasses.dataclass(frozen=True)
class Spec:
    """The part of a problem that a compiled function may close over: names, shapes and partitions, no arrays."""

    levels: dict  # "inner", "outer" -> Level without arrays
    shapes: tuple  # (inner_shape, outer_shape)
    partitions: dict  # "inner", "outer" -> Partition
    constraint: tuple | None
    lower_level: str

    @classmethod
    def of(cls, problem, partitions):
        """Describe ``problem`` cut into ``partitions``."""
        levels = {"inner": problem.inner.static(), "outer": problem.outer.static()}
        return cls(
            levels, (problem.inner_shape, problem.outer_shape), partitions, problem.constraint, problem.lower_level
        )


class Oracles:
    """Counted access to G (or Phi) and F.

    Parameters
    ----------
    backend : benchmark_utils.backends.Backend
    spec : Spec
    data : dict
        `Blocks` of the levels "inner" and "outer", as arrays of the backend.

    Attributes
    ----------
    ledger : Ledger
        Samples counted since this object was made.
    """

    def __init__(self, backend, spec, data):
        self.bk, self.spec, self.data = backend, spec, data
        self.ledger = Ledger()

    # ------------------------------------------------------------------ rows
    def _rows(self, level, batch):
        """Return (rows, weights, number of real samples) of a batch."""
        blocks, part = self.data[level], self.spec.partitions[level]
        if isinstance(batch, str):  # FULL: the flattened blocks, padding included with weight zero
            arrays = {name: _flat(self.bk.xp, a, part.batch_size) for name, a in blocks.arrays.items()}
            ids = blocks.ids.reshape((-1,))
            weights = blocks.weights.reshape((-1,)) / part.n_blocks
            return {**arrays, "ids": ids}, weights, part.n_samples
        take = lambda a: self.bk.row_get(a, batch)
        arrays = {
            name: SparseRows(*map(take, a)) if isinstance(a, SparseRows) else take(a)
            for name, a in blocks.arrays.items()
        }
        n = part.batch_size
        if part.last_size != n:  # one compare, so that the ragged block costs the rows it holds
            n = self.bk.select(batch == part.n_blocks - 1, part.last_size, n)
        return {**arrays, "ids": take(blocks.ids)}, take(blocks.weights), n

    def _value(self, level, batch, *ticks, times=1):
        """Return the function (z, x) -> value of a level on a batch, after counting ``ticks``, ``times`` times each."""
        rows, weights, n = self._rows(level, batch)
        for name in ticks:
            self.ledger.tick(name, times * n)
        xp, spec = self.bk.xp, self.spec

        def value(z, x):
            z, x = unflatten(xp, z, spec.shapes[0]), unflatten(xp, x, spec.shapes[1])
            return level_value(xp, spec.levels[level], z, x, rows, weights)

        return value

    def _residual(self, batch, *ticks, times=1):
        """Return the function (z, x) -> grad_z G, or z - Phi(z, x) for a fixed-point problem."""
        if self.spec.lower_level == "minimum":
            g = self._value("inner", batch, *ticks, times=times)
            return lambda z, x: self.bk.grad(g, (z, x), (0,))[0]
        rows, weights, n = self._rows("inner", batch)
        for name in ticks:
            self.ledger.tick(name, times * n)
        xp, spec = self.bk.xp, self.spec

        def residual(z, x):
            shaped = unflatten(xp, z, spec.shapes[0]), unflatten(xp, x, spec.shapes[1])
            phi = sample_values(xp, spec.levels["inner"], *shaped, rows, weights.shape[0])
            return z - xp.sum(weights[:, None] * phi, axis=0)

        return residual

    # ------------------------------------------------------------------ lower level
    def grad_inner(self, z, x, batch):
        """Return D_z = grad_z G(z, x), shape (p,); z - Phi(z, x) for a fixed-point problem."""
        return self._residual(batch, "grad_inner")(z, x)

    def inner_joint(self, z, x, v, batch):
        """Return (grad_z G, H v, C v) from one pass over the batch; shapes (p,), (p,), (d,)."""
        residual = self._residual(batch, "grad_inner", "hvp", "cross")
        d_z, (h_v, c_v) = self.bk.vjp(residual, (z, x), v, (0, 1))
        return d_z, h_v, c_v

    def hvp(self, z, x, v, batch):
        """Return H v, shape (p,)."""
        residual = self._residual(batch, "hvp")
        if self.spec.lower_level == "minimum":
            return self.bk.symmetric_product(lambda z: residual(z, x), z, v)
        return self.bk.vjp(residual, (z, x), v, (0,))[1][0]

    def cross(self, z, x, v, batch):
        """Return C v, shape (d,)."""
        return self.bk.vjp(self._residual(batch, "cross"), (z, x), v, (1,))[1][0]

    def hvp_cross(self, z, x, v, batch):
        """Return (H v, C v) from one pass over the batch; shapes (p,), (d,)."""
        return self.bk.vjp(self._residual(batch, "hvp", "cross"), (z, x), v, (0, 1))[1]

    def grad_inner_x(self, z, x, batch):
        """Return grad_x G(z, x), shape (d,)."""
        return self.bk.grad(self._value("inner", batch, "grad_inner_x"), (z, x), (1,))[0]

    def value_inner(self, z, x, batch):
        """Return G(z, x), a scalar."""
        return self.bk.evaluate(self._value("inner", batch, "value"), z, x)

    # ------------------------------------------------------------------ dense matrices, for small problems
    def hessian_matrix(self, z, x, batch):
        """Return H, shape (p, p), from p Hessian-vector products at once, counted as such."""
        residual = self._residual(batch, "hvp", times=z.shape[0])
        return self.bk.vjp_rows(lambda z: residual(z, x), z, _identity(self.bk.xp, z)).T

    def cross_matrix(self, z, x, batch):
        """Return C, shape (d, p), from p products C e_i at once, counted as such.

        Where d < p and G has a gradient in x, from d products C^T e_j instead.
        """
        if x.shape[0] < z.shape[0] and self.spec.lower_level == "minimum":
            grad_x = self._grad_inner_x(batch, "cross", times=x.shape[0])
            return self.bk.vjp_rows(lambda z: grad_x(z, x), z, _identity(self.bk.xp, x))
        residual = self._residual(batch, "cross", times=z.shape[0])
        return self.bk.vjp_rows(lambda x: residual(z, x), x, _identity(self.bk.xp, z)).T

    def cross_transpose(self, z, x, u, batch):
        """Return C^T u, shape (p,), counted as one cross product; needs the gradient of G in x."""
        return self.bk.vjp(self._grad_inner_x(batch, "cross"), (z, x), u, (0,))[1][0]

    def _grad_inner_x(self, batch, *ticks, times=1):
        g = self._value("inner", batch, *ticks, times=times)
        return lambda z, x: self.bk.grad(g, (z, x), (1,))[0]

    # ------------------------------------------------------------------ upper level
    def grad_outer(self, z, x, batch):
        """Return (grad_z F, grad_x F), shapes (p,) and (d,), counted once."""
        return self.bk.grad(self._value("outer", batch, "grad_outer"), (z, x), (0, 1))

    def value_outer(self, z, x, batch):
        """Return F(z, x), a scalar."""
        return self.bk.evaluate(self._value("outer", batch, "value"), z, x)

    # ------------------------------------------------------------------ control flow and helpers
    def repeat(self, n, body, val):
        """Return val after ``for k in range(n): val = body(k, val)``, counted ``n`` times; n may be traced.

        The counts of one ``body`` may depend on k or val only through the sizes of ragged blocks, a nested `repeat`
        of a traced length or a nested `cond`.
        """
        return self.bk.repeat(self.ledger, n, body, val)

    def cond(self, pred, on_true, on_false, *operands):
        """Return ``on_true(*operands)`` if pred else ``on_false(*operands)``, counting the branch taken."""
        return self.bk.cond(self.ledger, pred, on_true, on_false, operands)

    def map_blocks(self, level, function):
        """Return ``function(i)`` for every block id of a level, stacked along a new first axis (one full pass)."""
        part = self.spec.partitions[level]
        return self.bk.map_blocks(self.ledger, part.n_blocks, function)

    def project(self, x):
        """Project x onto the feasible set X."""
        if self.spec.constraint is None:
            return x
        xp, shape = self.bk.xp, self.spec.shapes[1]
        return flatten(xp, project(xp, unflatten(xp, x, shape), self.spec.constraint))


def _identity(xp, vector):
    return xp.diag(xp.ones_like(vector))


def _flat(xp, array, batch_size):
    """Merge the leading axes (n_blocks, batch_size) of an array, or renumber the rows of sparse blocks."""
    if isinstance(array, SparseRows):
        offset = xp.arange(array.rows.shape[0], dtype=array.rows.dtype)[:, None] * batch_size
        offset = xp.to_device_of(offset, array.rows)
        array = array._replace(rows=array.rows + offset)
        return SparseRows(*(a.reshape((-1,)) for a in array))
    return array.reshape((array.shape[0] * array.shape[1], *array.shape[2:]))
