"""A backend that computes nothing: it runs a step once on small zeros, to learn which oracles the step asks for.

Loops run their body at least once and both branches of a condition are taken, so that nothing stays unseen.
"""

import numpy as np

from benchmark_utils.problem.namespace import xp


class RecordingBackend:
    """The primitives of a backend on NumPy arrays; derivatives are zeros of the right shape."""

    name = "recording"
    #: Whether operations run at once, so that arrays may be kept between calls.
    eager = True
    #: Whether `repeat` is a loop of the program; else it is unrolled, or made operation by operation.
    loops = False
    xp = xp

    # ------------------------------------------------------------------ arrays
    def asarray(self, a):
        """Return a NumPy array."""
        return np.asarray(a)

    to_numpy = scalar = asarray

    def zeros(self, shape):
        """Return zeros."""
        return np.zeros(shape)

    def counter(self):
        """Return the iteration counter 0."""
        return 0

    # ------------------------------------------------------------------ derivatives
    def grad(self, f, args, wrt):
        """Return zeros of the shapes of the arguments ``wrt``."""
        f(*args)
        return tuple(np.zeros_like(args[i]) for i in wrt)

    def vjp(self, f, args, v, wrt):
        """Return ``f(*args)`` and zeros of the shapes of the arguments ``wrt``."""
        return f(*args), self.grad(f, args, wrt)

    def vjp_rows(self, f, x, rows):
        """Return zeros, one row for each row of ``rows``."""
        f(x)
        return np.zeros((len(rows), *np.shape(x)))

    def symmetric_product(self, f, z, v):
        """Return zeros of the shape of z."""
        return 0 * f(z)

    def evaluate(self, f, *args):
        """Return ``f(*args)``."""
        return f(*args)

    def reversible(self):
        """Return the backend for steps that are differentiated in reverse: this one."""
        return self

    # ------------------------------------------------------------------ several points, rows and control flow
    def at_points(self, ledger, function, points):
        """Evaluate at every point."""
        return [function(*point) for point in points]

    def map_entries(self, ledger, function, entries, bytes_each):
        """Apply a function along the first axis."""
        results = [function(*entry) for entry in zip(*entries, strict=True)]
        if isinstance(results[0], tuple):
            return tuple(map(np.stack, zip(*results, strict=True)))
        return np.stack(results)

    def row_get(self, table, i):
        """Return row i of a table."""
        return np.asarray(table)[i]

    def row_set(self, table, i, row):
        """Return the table with row i replaced."""
        table = np.array(table)
        table[i] = row
        return table

    def row_swap(self, table, i, row):
        """Return (row i of the table, the table with row i replaced)."""
        return self.row_get(table, i), self.row_set(table, i, row)

    def select(self, pred, a, b):
        """Return a if pred else b."""
        return a if pred else b

    def repeat(self, ledger, n, body, val):
        """Loop once or twice, so that the body is seen, also as the one that continues."""
        if n == 0:
            body(0, val)
        for k in range(min(n, 2)):
            val = body(k, val)
        return val

    def cond(self, ledger, pred, on_true, on_false, operands, rare):
        """Take both branches and return the result of the one that ``pred`` names."""
        results = on_false(*operands), on_true(*operands)
        return results[bool(pred)]

    def map_blocks(self, ledger, n_blocks, function):
        """Apply a function to every block id."""
        results = [function(i) for i in range(n_blocks)]
        if isinstance(results[0], tuple):
            return tuple(map(np.stack, zip(*results, strict=True)))
        return np.stack(results)
