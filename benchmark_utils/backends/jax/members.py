"""Many runs of one algorithm in one compiled JAX program: a leading axis of members over state, steps and draws."""

import jax
import jax.numpy as jnp
from jax import lax

from benchmark_utils.backends.jax.counts import CountedStep, PendingCounts
from benchmark_utils.backends.jax.program import compile_program, row_get
from benchmark_utils.oracles.ledger import ORACLES


def compile_members(step, state, hp, data, draws, short_sums=False):
    """Compile a loop of outer iterations of many members.

    Parameters
    ----------
    step : callable
        ``step(state, hp, data, draws) -> (state, counts)`` of one member, counts in the order of `ORACLES`.
    state, hp : pytrees
        Examples; every leaf has a leading axis of members.
    data : pytree
        Shared by all members.
    draws : NamedTuple of arrays of shape (length, members, ...)
    short_sums : bool
        See `program.compile_chunk`.

    Returns
    -------
    advance : callable
        ``advance(state, hp, data, draws, n, active) -> (state, x before the last step, counts, finite)``: counts is a
        `PendingCounts` of shape (members, 6) and finite a bool array. Members that are not ``active`` stay as they
        are and count nothing. Consumes ``state``.
    seconds : float
        Compilation time.
    """
    member = lambda tree: jax.tree.map(lambda a: a[0], tree)
    first = jax.tree.map(lambda a: a[0, 0], draws)
    counted = CountedStep(step, member(state), member(hp), data, first)
    carried = counted.carried
    static = [counted.static.get(name, 0) for name in ORACLES]
    slots = [counted.slots.get(name, -1) for name in ORACLES]

    def one(state, hp, data, draws, active, totals):
        new, counts = step(state, hp, data, draws)
        keep = lambda a, b: jnp.where(active, a, b)
        spent = carried.add(carried.zeros(), dict(zip(ORACLES, counts, strict=True)))
        return jax.tree.map(keep, new, state), state.x, totals + active * spent

    together = jax.vmap(one, in_axes=(0, 0, None, 0, 0, 0))

    def chunk(state, hp, data, draws, n, active):
        def body(k, carry):
            state, x_before, totals = carry
            row = jax.tree.map(lambda a: row_get(a, k), draws)
            new, before, totals = together(state, hp, data, row, active, totals)
            return new, jnp.where(active[:, None], before, x_before), totals

        totals = jnp.zeros((active.shape[0], carried.size), jnp.int64)
        state, x_before, totals = lax.fori_loop(0, n, body, (state, state.x, totals))
        finite = jnp.isfinite(state.z).all(axis=1) & jnp.isfinite(state.x).all(axis=1)
        totals = active[:, None] * counted.totals(totals, draws, n)
        return (state, x_before, totals), finite

    active = jnp.ones(jax.tree.leaves(state)[0].shape[0], bool)
    args = (state, hp, data, draws, jnp.int32(0), active)
    compiled, seconds = compile_program(jax.jit(chunk, donate_argnums=0), args, short_sums)

    def advance(state, hp, data, draws, n, active):
        active = jnp.asarray(active)
        (state, x_before, totals), finite = compiled(state, hp, data, draws, jnp.int32(n), active)
        return state, x_before, PendingCounts(totals, active, n, static, slots), finite

    return advance, seconds
