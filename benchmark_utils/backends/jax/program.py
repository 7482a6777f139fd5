"""Compiled loops of outer iterations on JAX: one program per solver, draws as data, donated state."""

import time

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmark_utils.backends.jax.counts import CountedStep, PendingCount
from benchmark_utils.oracles.ledger import ORACLES

#: Matmul precision of every product, so that float32 means float32 on accelerators too.
MATMUL_PRECISION = "highest"


def row_get(table, i):
    """Return row i of a table."""
    return lax.dynamic_index_in_dim(table, i, keepdims=False, allow_negative_indices=False)


#: XLA turns sums over rows into trees of sums, which rounds less where there are many rows and costs a quarter of an
#: iteration where there are 64. Programs that only see short blocks (`running.program`) do without.
WITHOUT_TREES = {"xla_disable_hlo_passes": "tree_reduction_rewriter"}


def compile_once(function, args):
    """Compile ``function(*args) -> (result, counts)``; return ``(callable, seconds of compilation)``."""
    return compile_program(jax.jit(_with_int64_counts(function)), args)


def compile_chunk(step, state, hp, data, draws, short_sums=False):
    """Compile a loop of outer iterations.

    Parameters
    ----------
    step : callable
        ``step(state, hp, data, draws) -> (state, counts)`` with counts in the order of `ORACLES`.
    state, hp, data : pytrees
        Examples of the arguments.
    draws : NamedTuple of arrays of shape (length, ...)
        Draws of ``length`` iterations; shorter chunks leave the end unused.
    short_sums : bool
        Whether no sum runs over more rows than those of a short block.

    Returns
    -------
    advance : callable
        ``advance(state, hp, data, draws, n) -> (state, x before the last step, counts, all finite)``;
        consumes ``state`` and does not wait for the device.
    seconds : float
        Compilation time.
    """
    at = lambda tree, k: jax.tree.map(lambda a: row_get(a, k), tree)
    counted = CountedStep(step, state, hp, data, at(draws, 0))
    carried = counted.carried

    def chunk(state, hp, data, draws, n):
        def body(k, carry):
            state, _, totals = carry
            new, counts = step(state, hp, data, at(draws, k))
            return new, state.x, carried.add(totals, dict(zip(ORACLES, counts, strict=True)))

        state, x_before, totals = lax.fori_loop(0, n, body, (state, state.x, carried.zeros()))
        finite = jnp.isfinite(state.z).all() & jnp.isfinite(state.x).all()
        return (state, x_before, counted.totals(totals, draws, n)), finite

    n = jnp.int32(0)
    args = (state, hp, data, draws, n)
    compiled, seconds = compile_program(jax.jit(chunk, donate_argnums=0), args, short_sums)

    def advance(state, hp, data, draws, n):
        (state, x_before, totals), finite = compiled(state, hp, data, draws, np.int32(n))
        spent = {name: n * count for name, count in counted.static.items()}
        spent |= {name: PendingCount(totals, slot) for name, slot in counted.slots.items()}
        return state, x_before, [spent[name] for name in ORACLES], finite

    return advance, seconds


def _with_int64_counts(function):
    def converted(*args):
        result, counts = function(*args)
        return result, [jnp.asarray(count, jnp.int64) for count in counts]

    return converted


def compile_program(jitted, args, short_sums=False):
    """Return (compiled program, seconds of compilation)."""
    start = time.perf_counter()
    on_cpu = all(device.platform == "cpu" for leaf in jax.tree.leaves(args[0]) for device in leaf.devices())
    with jax.default_matmul_precision(MATMUL_PRECISION):
        compiled = jitted.lower(*args).compile(WITHOUT_TREES if short_sums and on_cpu else None)
    return compiled, time.perf_counter() - start


def until_still(function, start, n):
    """Return what ``function`` makes of an array, over and over, until nothing changes, at most ``n`` times."""

    def moves(carry):
        k, old, new = carry
        return (k < n) & jnp.any(old != new)

    again = lambda carry: (carry[0] + 1, carry[2], function(carry[2]))
    return lax.while_loop(moves, again, (jnp.int32(1), start, function(start)))[2]
