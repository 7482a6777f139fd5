"""The oracles: the only way an algorithm touches the problem. Each call is counted, in samples, in the ledger.

A batch is a block id drawn by the plan (an integer, possibly traced) or `FULL`, the whole sum. z, v and x are flat
vectors; the problem's shapes live behind this interface. See `benchmark_utils.problem.problem` for H, C and signs.

With tasks, z and v are tables with one row for each task of the block that has been drawn, whatever the batch says.
"""

import dataclasses
from typing import Any

from benchmark_utils.oracles.blocks import rows_of
from benchmark_utils.oracles.cross_mean import cross_mean
from benchmark_utils.oracles.differentiate import differentiate
from benchmark_utils.oracles.full_pass import goes_by_block, over_blocks
from benchmark_utils.oracles.ledger import Ledger
from benchmark_utils.oracles.through import through
from benchmark_utils.problem.projections import ball
from benchmark_utils.problem.variables import flatten, size_of, unflatten

#: Batch that stands for all samples of a level.
FULL = "full"

#: What each oracle asks of a term: ledger entry -> quantity of `terms.term.QUANTITIES`.
QUANTITY = {"grad_inner": "grad_z", "hvp": "hvp", "cross": "cross", "grad_inner_x": "grad_x"}


@dataclasses.dataclass(frozen=True)
class Spec:
    """The part of a problem that a compiled function may close over: terms, shapes and partitions, no arrays."""

    terms: dict  # "inner", "outer" -> Term
    shapes: tuple  # (inner_shape, outer_shape)
    partitions: dict  # "inner", "outer" -> Partition
    feasible_set: Any  # FeasibleSet or None
    has_tasks: bool

    @classmethod
    def of(cls, view, partitions):
        """Describe the problem behind ``view``, cut into ``partitions``."""
        return cls(
            {"inner": view.inner, "outer": view.outer},
            (view.inner_shape, view.outer_shape),
            partitions,
            view.feasible_set,
            view.tasks is not None,
        )


class Oracles:
    """Counted access to G (or Phi) and F.

    Parameters
    ----------
    backend : backend object, see `benchmark_utils.backends`
    spec : Spec
    data : dict
        `Blocks` of the levels "inner" and "outer", the arrays that all rows share ("shared") and those of the feasible
        set ("feasible"), as arrays of the backend.
    block : int or 0-d array, optional
        With tasks: the block of tasks that has been drawn.

    Attributes
    ----------
    ledger : Ledger
        Samples counted since this object was made.
    asked : set of str
        Names of what has been asked for: what the algorithm requires of a problem.
    """

    def __init__(self, backend, spec, data, block=None):
        self.bk, self.spec, self.data, self.block = backend, spec, data, block
        self.ledger, self.asked, self._read = Ledger(), set(), {}
        self._prepared = None, {}

    # ------------------------------------------------------------------ rows
    def _rows(self, level, batch):
        """Return (rows, weights, number of real samples) of a batch, read once for each block id."""
        if self.spec.has_tasks:
            batch = self.block
        elif isinstance(batch, str):
            self.asked.add("full_pass")
        if not self.bk.eager or not isinstance(batch, (int, str)):  # a trace keeps no arrays of another one
            return self.read_rows(level, batch)
        key = level, batch
        if key not in self._read:
            self._read[key] = self.read_rows(level, batch)
        return self._read[key]

    def read_rows(self, level, batch):
        """Return (rows, weights, number of real samples) of a block or of all rows."""
        rows, weights, n = rows_of(self.bk, self.data[level], self.spec.partitions[level], batch)
        if self.spec.has_tasks:  # means over the tasks of the block
            weights = weights / self.bk.xp.sum(weights)
        return rows | self.data["shared"], weights, n

    def prepare(self, x):
        """Compute once what G needs of x alone, such as features, for all calls at this very x that hold it fixed."""
        term, spec = self.spec.terms["inner"], self.spec
        if term.prepares:
            rows, _, _ = self._rows("inner", self.block)
            self._prepared = x, term.prepared(self.bk.xp, unflatten(self.bk.xp, x, spec.shapes[1]), rows)

    def _ask(self, level, names, z, x, v, batch, ticks, times=1):
        """Return the quantities ``names`` of a level, flat, after counting ``ticks``, ``times`` times each."""
        by_block = goes_by_block(self, level, batch)
        rows, weights, n = (None, None, self.spec.partitions[level].n_samples) if by_block else self._rows(level, batch)
        self.asked.update(ticks)
        for name in ticks:
            self.ledger.tick(name, times * n)
        if by_block:
            return over_blocks(self, level, names, z, x, v)
        return self.quantities(level, names, z, x, v, rows, weights)

    def quantities(self, level, names, z, x, v, rows, weights):
        """Return the quantities ``names`` of some rows of a level, flat; nothing is counted."""
        xp, spec, tasks = self.bk.xp, self.spec, self.spec.has_tasks
        of_z = lambda a: None if a is None else unflatten(xp, a, spec.shapes[0], leading=tasks)
        of_x = lambda a: unflatten(xp, a, spec.shapes[1])
        term, want = spec.terms[level], frozenset(names)
        out, closed = {}, want & term.closed_forms
        if closed and (closed == want or tasks):
            known = self._prepared[1] if level == "inner" and x is self._prepared[0] else {}
            found = term.derivatives(xp, closed, of_z(z), of_x(x), of_z(v), rows | known, weights)
            of = {"grad_z": 0, "hvp": 0, "grad_x": 1, "cross": 1}
            flat = lambda k: flatten(xp, found[k], leading=tasks and of[k] == 0, shape=spec.shapes[of[k]])
            out, want = {k: flat(k) if k in of else found[k] for k in closed}, want - closed
        if not want:
            return [out[k] for k in names]
        value = lambda z, x: term.value(xp, of_z(z), of_x(x), rows, weights)
        by_task = lambda z, x: term.sample_values(xp, of_z(z), of_x(x), rows)
        out |= differentiate(self.bk, want, value, by_task if tasks else None, term.is_map, z, x, v, weights)
        return [out[k] for k in names]

    # ------------------------------------------------------------------ lower level
    def grad_inner(self, z, x, batch):
        """Return D_z = grad_z G(z, x), shape of z; z - Phi(z, x) for a fixed-point problem."""
        return self._ask("inner", ("grad_z",), z, x, None, batch, ("grad_inner",))[0]

    def inner_joint(self, z, x, v, batch):
        """Return (grad_z G, H v, C v) from one pass over the batch; shapes of z, z and x."""
        names = ("grad_inner", "hvp", "cross")
        return self._ask("inner", ("grad_z", "hvp", "cross"), z, x, v, batch, names)

    def hvp(self, z, x, v, batch):
        """Return H v, shape of z."""
        return self._ask("inner", ("hvp",), z, x, v, batch, ("hvp",))[0]

    def cross(self, z, x, v, batch):
        """Return C v, shape of x."""
        return self._ask("inner", ("cross",), z, x, v, batch, ("cross",))[0]

    cross_mean = cross_mean  # (z, x, v, batches, n) -> the mean of C v over several batches

    def cross_of_rows(self, of_term, batch):
        """Return (rows of x, what C v adds to them); z, x and v have the shapes of the problem."""
        rows, weights, n = self._rows("inner", batch)
        self.asked.add("cross")
        self.ledger.tick("cross", n)
        return self.spec.terms["inner"].cross_of_rows(self.bk.xp, *of_term, rows, weights)

    def hvp_cross(self, z, x, v, batch):
        """Return (H v, C v) from one pass over the batch; shapes of z and x."""
        return self._ask("inner", ("hvp", "cross"), z, x, v, batch, ("hvp", "cross"))

    def grad_inner_x(self, z, x, batch):
        """Return grad_x G(z, x), shape of x."""
        return self._ask("inner", ("grad_x",), z, x, None, batch, ("grad_inner_x",))[0]

    def grad_inner_both(self, z, x, batch):
        """Return (grad_z G, grad_x G) from one pass over the batch; shapes of z and x."""
        names = ("grad_inner", "grad_inner_x")
        return self._ask("inner", ("grad_z", "grad_x"), z, x, None, batch, names)

    def value_inner(self, z, x, batch):
        """Return G(z, x), a scalar."""
        self.asked.add("value_inner")
        return self._ask("inner", ("value",), z, x, None, batch, ("value",))[0]

    # ------------------------------------------------------------------ dense matrices, for small problems
    def hessian_matrix(self, z, x, batch):
        """Return H, shape (p, p), from p Hessian-vector products at once, counted as such."""
        residual = self._map_to("grad_z", batch, "hvp", times=z.shape[0])
        return self.bk.vjp_rows(lambda z: residual(z, x), z, _identity(self.bk.xp, z)).T

    def cross_matrix(self, z, x, batch):
        """Return C, shape (d, p), from p products C e_i at once, counted as such.

        Where d < p and G has a gradient in x, from d products C^T e_j instead.
        """
        if x.shape[0] < z.shape[0] and not self.spec.terms["inner"].is_map:
            grad_x = self._map_to("grad_x", batch, "cross", times=x.shape[0])
            return self.bk.vjp_rows(lambda z: grad_x(z, x), z, _identity(self.bk.xp, x))
        residual = self._map_to("grad_z", batch, "cross", times=z.shape[0])
        return self.bk.vjp_rows(lambda x: residual(z, x), x, _identity(self.bk.xp, z)).T

    def cross_transpose(self, z, x, u, batch):
        """Return C^T u, shape of z, counted as one cross product; needs the gradient of G in x."""
        self.asked.add("grad_inner_x")
        return self.bk.vjp(self._map_to("grad_x", batch, "cross"), (z, x), u, (0,))[1][0]

    def _map_to(self, quantity, batch, tick, times=1):
        """Return the function (z, x) -> grad_z or grad_x of G on a batch, after counting ``tick``."""
        self.asked.update((tick, "dense"))
        rows, weights, n = self._rows("inner", batch)
        self.ledger.tick(tick, times * n)
        xp, spec = self.bk.xp, self.spec
        term = spec.terms["inner"]
        value = lambda z, x: term.value(
            xp, unflatten(xp, z, spec.shapes[0]), unflatten(xp, x, spec.shapes[1]), rows, weights
        )

        def function(z, x):
            want = frozenset((quantity,))
            return differentiate(self.bk, want, value, None, term.is_map, z, x, None, weights)[quantity]

        return function

    # ------------------------------------------------------------------ upper level
    def grad_outer(self, z, x, batch):
        """Return (grad_z F, grad_x F), shapes of z and x, counted once."""
        return self._ask("outer", ("grad_z", "grad_x"), z, x, None, batch, ("grad_outer",))

    def value_outer(self, z, x, batch):
        """Return F(z, x), a scalar."""
        self.asked.add("value_outer")
        return self._ask("outer", ("value",), z, x, None, batch, ("value",))[0]

    def through(self, adapt, z, x, outer_batch):
        """Return the gradients in (z, x) of F at the end of gradient steps on G, see `oracles.through`."""
        return through(self, adapt, z, x, outer_batch)

    # ------------------------------------------------------------------ several points, loops and branches
    def at_points(self, function, *points):
        """Return ``[function(*point) for point in points]``: rows are read once and counted for each point."""
        return self.bk.at_points(self.ledger, function, points)

    def vmap(self, function, *entries):
        """Return ``function`` applied to each entry along the first axis, stacked; counted for each entry."""
        sizes = size_of(self.spec.shapes[0]) + size_of(self.spec.shapes[1])
        return self.bk.map_entries(self.ledger, function, entries, 4 * 8 * sizes)

    def repeat(self, n, body, val):
        """Return val after ``for k in range(n): val = body(k, val)``, counted ``n`` times; n may be traced.

        The counts of one ``body`` may depend on k or val only through the sizes of ragged blocks, a nested `repeat`
        of a traced length or a nested `cond`.
        """
        return self.bk.repeat(self.ledger, n, body, val)

    def cond(self, pred, on_true, on_false, *operands, rare=False):
        """Return ``on_true(*operands)`` if pred else ``on_false(*operands)``, counting the branch taken.

        Where pred is ``rare``, a compiled program may compute ``on_false`` in any case.
        """
        return self.bk.cond(self.ledger, pred, on_true, on_false, operands, rare)

    def map_blocks(self, level, function):
        """Return ``function(i)`` for every block id of a level, stacked along a new first axis (one full pass)."""
        self.asked.add("full_pass")
        part = self.spec.partitions[level]
        return self.bk.map_blocks(self.ledger, part.n_blocks, function)

    # ------------------------------------------------------------------ geometry
    def need_symmetry(self):
        """State that the algorithm needs a symmetric H (conjugate gradients do)."""
        self.asked.add("symmetric_hvp")

    def dot(self, a, b):
        """Return the inner product of two arrays of the shape of z: a scalar, with tasks one for each, (b, 1)."""
        xp = self.bk.xp
        return xp.sum(a * b, axis=1)[:, None] if self.spec.has_tasks else xp.sum(a * b)

    def mean_dot(self, a, b):
        """Return the inner product of two arrays of the shape of z, with tasks its mean over them, a scalar."""
        if not self.spec.has_tasks:
            return self.bk.xp.sum(a * b)
        _, weights, _ = self._rows("inner", self.block)
        return self.bk.xp.sum(weights * self.bk.xp.sum(a * b, axis=1))

    def ball_z(self, v, radius):
        """Project v, an array of the shape of z, onto the ball of the given radius; with tasks each row of it."""
        xp = self.bk.xp
        if not self.spec.has_tasks:
            return ball(xp, v, radius)
        norm = xp.sqrt(self.dot(v, v))
        return v * xp.where(norm > radius, radius / xp.where(norm > 0, norm, 1 + 0 * norm), 1 + 0 * norm)

    def project(self, x):
        """Project x onto the feasible set X."""
        feasible = self.spec.feasible_set
        if feasible is None:
            return x
        xp, shape = self.bk.xp, self.spec.shapes[1]
        return flatten(xp, feasible.project(xp, unflatten(xp, x, shape), self.data["feasible"]), shape=shape)


def _identity(xp, vector):
    return xp.diag(xp.ones_like(vector))
