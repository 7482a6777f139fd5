"""The JAX backend: arrays, derivatives and control flow with exact counts."""

import copy
import operator
import types

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmark_utils.backends import at_positions
from benchmark_utils.backends.jax import members, program
from benchmark_utils.backends.jax.counts import TracedCounts, counts_of
from benchmark_utils.backends.jax.namespace import namespace
from benchmark_utils.oracles.blocks import Blocks, by_columns

#: Most bytes that the entries of one vmapped call and its results may take.
VMAP_BYTES = 1 << 28


def why_unavailable(backend, device):
    """Return a sentence if the device cannot be had, else None."""
    if device == "cuda" and not _has_gpu():
        return "device is 'cuda' but JAX sees no GPU; install a CUDA build of jaxlib or choose device 'cpu'."
    return None


def _has_gpu():
    try:
        return bool(jax.devices("gpu"))
    except RuntimeError:  # JAX raises when the platform is absent
        return False


def make(backend, device, precision):
    """Return the backend object."""
    return JaxBackend(device, precision)


class JaxBackend:
    """Primitives on JAX. 64-bit types are switched on: counts are int64 and dtypes are explicit everywhere."""

    name = "jax"
    #: Whether operations run at once, so that arrays may be kept between calls.
    eager = False
    #: Whether `repeat` is a loop of the program; else it is unrolled, or made operation by operation.
    loops = True

    def __init__(self, device, precision):
        jax.config.update("jax_enable_x64", True)
        platform = "gpu" if device == "cuda" or (device == "auto" and _has_gpu()) else "cpu"
        self.device = jax.devices(platform)[0]
        self.dtype = jnp.dtype(precision)
        self.xp = namespace()
        self.short_sums = False  # set by a program whose sums are all short, see `running.requirements.SHORT_SUM`
        self.loops_traced = 0  # calls of `repeat` so far
        #: How `put` lays blocks out: copies of another layout are not shared.
        self.layout = "columns" if platform == "cpu" else "rows"

    # ------------------------------------------------------------------ arrays
    def asarray(self, a):
        """Copy a NumPy array to the device; floating types take the working precision, integers int32, bytes stay."""
        a = np.asarray(a)
        whole = jnp.uint8 if a.dtype == np.uint8 else jnp.int32
        return jax.device_put(jnp.array(a, self.dtype if a.dtype.kind == "f" else whole), self.device)

    def to_numpy(self, a):
        """Copy an array to the host as float64."""
        return np.array(a, dtype=np.float64)

    def zeros(self, shape):
        """Return zeros in the working precision."""
        return jnp.zeros(shape, self.dtype)

    def to_host(self, a):
        """Return an array as a NumPy array of its own type."""
        return np.asarray(a)

    def from_host(self, a):
        """Return on the device what `to_host` returned."""
        return jax.device_put(jnp.array(a, dtype=np.asarray(a).dtype), self.device)

    def tree_map(self, function, tree):
        """Apply a function to every array of a tree."""
        return jax.tree.map(function, tree)

    def scalar(self, value):
        """Return a hyper-parameter as a traced leaf in the working precision."""
        return self.asarray(np.float64(value))

    def counter(self):
        """Return the iteration counter 0, of 64 bits: a run may have more than 2^31 iterations."""
        return jax.device_put(jnp.int64(0), self.device)

    def put(self, blocks):
        """Copy the `Blocks` of a level to the device; short rows by columns, see `products`."""
        blocks = by_columns(blocks) if self.layout == "columns" else blocks
        return jax.tree.map(self.asarray, Blocks(*blocks))

    def sync(self, tree):
        """Wait until every array of the tree has been computed."""
        jax.block_until_ready(tree)

    # ------------------------------------------------------------------ derivatives
    def grad(self, f, args, wrt):
        """Return the gradients of the scalar ``f(*args)`` with respect to the positions ``wrt``."""
        return jax.grad(f, argnums=wrt)(*args)

    def vjp(self, f, args, v, wrt):
        """Return ``f(*args)`` and the pullbacks of v to the positions ``wrt``."""
        value, pullback = jax.vjp(at_positions(f, args, wrt), *(args[i] for i in wrt))
        return value, pullback(v)

    def vjp_rows(self, f, x, rows):
        """Return the pullbacks of the rows of a matrix through ``f`` at x, one a row."""
        return jax.vmap(jax.vjp(f, x)[1])(rows)[0]

    def symmetric_product(self, f, z, v):
        """Return J v for a map f with symmetric Jacobian J (forward over reverse)."""
        return jax.jvp(f, (z,), (v,))[1]

    def evaluate(self, f, *args):
        """Return ``f(*args)``."""
        return f(*args)

    # ------------------------------------------------------------------ several points at once
    def at_points(self, ledger, function, points):
        """Evaluate at several points in one pass; see `Oracles.at_points`.

        Loops run once for all points, vmapped. What has no loop is written out point by point: the compiler reads the
        rows once, and a product with one vector is cheaper than half of one with two (FSLA: a third less time).
        """
        loops = self.loops_traced
        ledger.spent_in(lambda: jax.eval_shape(lambda *point: (function(*point), ())[1], *points[0]))
        if self.loops_traced == loops:
            return [function(*point) for point in points]
        stacked = jax.tree.map(lambda *a: jnp.stack(a), *points)
        out = self._vmapped(ledger, function, stacked, len(points))
        return [jax.tree.map(lambda a, i=i: a[i], out) for i in range(len(points))]

    def map_entries(self, ledger, function, entries, bytes_each):
        """Apply a function along the first axis, in groups that fit the memory; see `Oracles.vmap`."""
        n = entries[0].shape[0]
        group = max(1, min(n, VMAP_BYTES // bytes_each))
        if group == n:
            return self._vmapped(ledger, function, entries, n)
        pieces = [
            self._vmapped(ledger, function, [a[i : i + group] for a in entries], min(group, n - i))
            for i in range(0, n, group)
        ]
        return jax.tree.map(lambda *a: jnp.concatenate(a), *pieces)

    def _vmapped(self, ledger, function, entries, n):
        if n == 1:  # a batch of one is a product of another kind for the compiler: five times slower
            return jax.tree.map(lambda a: a[None], function(*(a[0] for a in entries)))
        static, names = {}, []

        def counted(*entry):
            out, spent = ledger.spent_in(lambda: function(*entry))
            static.update({name: count for name, count in spent.items() if isinstance(count, int)})
            traced = {name: count for name, count in spent.items() if not isinstance(count, int)}
            groups = {}  # oracles that visit the same rows share one traced number
            for name, count in traced.items():
                groups.setdefault(id(count), []).append(name)
            names.extend(groups.values())
            return out, [jnp.asarray(traced[group[0]], jnp.int64) for group in groups.values()]

        out, totals = jax.vmap(counted)(*entries)
        ledger.add(static, n)
        for group, total in zip(names, totals, strict=True):
            total = total.sum()
            for name in group:
                ledger.tick(name, total)
        return out

    # ------------------------------------------------------------------ rows and control flow
    def row_get(self, table, i):
        """Return row i of a table."""
        return program.row_get(table, i)

    def row_set(self, table, i, row):
        """Return the table with row i replaced (in place once compiled)."""
        return lax.dynamic_update_index_in_dim(table, row, i, 0, allow_negative_indices=False)

    def row_swap(self, table, i, row):
        """Return (row i of the table, the table with row i replaced), in place once compiled.

        XLA copies the whole table unless it knows that the row is read before it is written. So the read stands in
        a branch, which the compiler neither foresees nor fuses with anything, and the row to write depends on what
        was read. (SABA on MNIST hyper-cleaning, a table of 45 MB: 1 ms an iteration, 9 else. A loop of one trip does
        the same and takes .3 microseconds more.)
        """
        return (old := self.row_read(table, i)), self.row_set(table, i, jnp.where(i < 0, old, row))

    def row_read(self, table, i):
        """Return row i of a table that is going to be written at i; see `row_swap`."""
        nothing = lambda: jnp.zeros(table.shape[1:], table.dtype)
        return lax.cond(i < 0, nothing, lambda: self.row_get(table, i))

    def select(self, pred, a, b):
        """Return a if pred else b, for scalars."""
        return jnp.where(pred, a, b)

    def repeat(self, ledger, n, body, val):
        """Loop with exact counts; see `Oracles.repeat`."""
        self.loops_traced += 1
        spent = counts_of(lambda k, val: ledger.spent_in(lambda: body(k, val)), jnp.int32(0), val)
        traced = TracedCounts(spent)

        def counted(k, carry):
            val, totals = carry
            out, spent = ledger.spent_in(lambda: body(k, val))
            return out, traced.add(totals, spent)

        val, totals = lax.fori_loop(0, n, counted, (val, traced.zeros()))
        ledger.add({name: count for name, count in spent.items() if isinstance(count, int)}, n)
        ledger.add(traced.by_name(totals))
        return val

    def cond(self, ledger, pred, on_true, on_false, operands, rare):
        """Branch with exact counts; see `Oracles.cond`."""
        usual = _counted(ledger, on_false)
        if rare:  # outside of the branch it is fused with what comes after: a tenth of an iteration of SRBA
            found = usual(*operands)
            usual = lambda *operands: found
        out, spent = lax.cond(pred, _counted(ledger, on_true), usual, *operands)
        ledger.add(spent)
        return out

    def map_blocks(self, ledger, n_blocks, function):
        """Apply a function to every block id, with exact counts; see `Oracles.map_blocks`."""
        out, spent = lax.map(_counted(ledger, function), jnp.arange(n_blocks, dtype=jnp.int32))
        ledger.add({name: count.sum() for name, count in spent.items()})
        return out

    def pack_draws(self, draws, length):
        """Pad a NamedTuple of NumPy draws to ``length`` iterations.

        They stay on the host: a compiled program takes them over itself, in half the time of `jax.device_put`.
        """

        def pad(a):
            out = np.zeros((length, *a.shape[1:]), a.dtype if a.dtype.kind == "i" else self.dtype)
            out[: len(a)] = a
            return out

        return type(draws)(*map(pad, draws))

    # ------------------------------------------------------------------ programs
    def compile_once(self, function, *args):
        """Compile ``function(*args) -> (result, counts)``; return ``(callable, seconds of compilation)``."""
        return program.compile_once(function, args)

    def compile_chunk(self, step, state, hp, data, draws):
        """Compile a loop of outer iterations; see `program.compile_chunk`."""
        return program.compile_chunk(step, state, hp, data, draws, self.short_sums)

    def compile_members(self, step, state, hp, data, draws):
        """Compile a loop over many members at once; see `members.compile_members`."""
        return members.compile_members(step, state, hp, data, draws, self.short_sums)

    def reversible(self):
        """Return the backend for steps that are differentiated in reverse, which products of their own are not."""
        out = copy.copy(self)
        plain = {"matvec": operator.matmul, "vecmat": operator.matmul}
        out.xp = types.SimpleNamespace(**vars(self.xp) | plain)
        return out

    def vectorised(self):
        """Return the backend for programs of many members: this one."""
        return self

    def vectorises(self, solver):
        """Return whether a solver can run many members at once: any can."""
        return True

    def copies(self, tree, n):
        """Return ``n`` copies of a tree along a new first axis."""
        return jax.tree.map(lambda a: jnp.repeat(a[None], n, axis=0), tree)

    def peak_memory(self):
        """Return the most bytes of the device used so far in this process, or None where it does not tell (CPU)."""
        return (self.device.memory_stats() or {}).get("peak_bytes_in_use")

    def describe(self):
        """Return versions and settings for the environment record."""
        return {"jax": jax.__version__, "device": str(self.device), "matmul_precision": program.MATMUL_PRECISION}


def _counted(ledger, function):
    """Return ``function`` as one that returns (its result, dict of what it counted)."""

    def run(*operands):
        out, spent = ledger.spent_in(lambda: function(*operands))
        return out, {name: jnp.asarray(count, jnp.int64) for name, count in spent.items()}

    return run
