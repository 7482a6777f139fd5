"""Many runs of one algorithm in one compiled JAX program: a leading axis of members over state and steps.

Members share their draws: a block is read once for all of them, and a product with it is one matrix product. Lengths
and branches that the draws decide are decided once, so that nothing runs to the longest of all members.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jax.interpreters.partial_eval import dce_jaxpr

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
    draws : NamedTuple of arrays of shape (length, ...)
        Shared by all members.
    short_sums : bool
        See `program.compile_chunk`.

    Returns
    -------
    advance : callable
        ``advance(state, hp, data, draws, n) -> (state, x before the last step, counts, finite)``: counts is a
        `PendingCounts` of shape (members, 6) and finite a bool array. Consumes ``state``.
    seconds : float
        Compilation time.
    """
    member = lambda tree: jax.tree.map(lambda a: a[0], tree)
    counted = CountedStep(step, member(state), member(hp), data, member(draws))
    carried = counted.carried
    static = [counted.static.get(name, 0) for name in ORACLES]
    slots = [counted.slots.get(name, -1) for name in ORACLES]
    n_members = jax.tree.leaves(state)[0].shape[0]

    def one(state, hp, data, draws, totals):
        new, counts = step(state, hp, data, draws)
        return new, carried.add(totals, dict(zip(ORACLES, counts, strict=True)))

    same = fields_in_common(step, member(state), member(hp), data, member(draws))
    axes = type(state)(*(None if common else 0 for common in same))
    together = jax.vmap(one, in_axes=(axes, 0, None, None, 0), out_axes=(axes, 0))

    def chunk(state, hp, data, draws, n):
        state = type(state)(*(a[0] if common else a for a, common in zip(state, same, strict=True)))

        def body(k, carry):
            state, _, totals = carry
            new, totals = together(state, hp, data, jax.tree.map(lambda a: row_get(a, k), draws), totals)
            return new, state.x, totals

        totals = jnp.zeros((n_members, carried.size), jnp.int64)
        state, x_before, totals = lax.fori_loop(0, n, body, (state, state.x, totals))
        copies = lambda a: jnp.repeat(a[None], n_members, axis=0)
        state = type(state)(*(copies(a) if common else a for a, common in zip(state, same, strict=True)))
        finite = jnp.isfinite(state.z).all(axis=1) & jnp.isfinite(state.x).all(axis=1)
        of_draws = counted.totals(carried.zeros(), draws, n)[carried.size :]
        of_draws = jnp.broadcast_to(of_draws, (n_members, len(of_draws)))
        return (state, x_before, jnp.concatenate([totals, of_draws], axis=1)), finite

    args = (state, hp, data, draws, jnp.int32(0))
    compiled, seconds = compile_program(jax.jit(chunk, donate_argnums=0), args, short_sums)

    def advance(state, hp, data, draws, n):
        (state, x_before, totals), finite = compiled(state, hp, data, draws, jnp.int32(n))
        return state, x_before, PendingCounts(totals, n, static, slots), finite

    return advance, seconds


def fields_in_common(step, state, hp, data, draws):
    """Return for each field of the state whether all members have the same, since they begin with the same.

    Its next value follows from draws, data and other such fields: the iteration counter, for example. (z and x are
    taken to be each member's own.) A branch that it
    decides is then taken or not for all members, where one branch for each member would be both branches for all.
    """
    jaxpr = jax.make_jaxpr(lambda *args: step(*args)[0])(state, hp, data, draws).jaxpr
    fields, n = range(len(state)), len(state) + len(jax.tree.leaves(hp))
    if len(jaxpr.outvars) != len(state):  # a field with several arrays: nothing is known
        return [False] * len(state)
    needs = [dce_jaxpr(jaxpr, [k == i for k in fields])[1][:n] for i in fields]
    common = {i for i in fields if state._fields[i] not in ("z", "x")}
    while True:
        kept = {i for i in common if all(k in common for k in range(n) if needs[i][k])}
        if kept == common:
            return [i in common for i in fields]
        common = kept
