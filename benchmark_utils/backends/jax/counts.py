"""Counts that are known at run time only: how the JAX backend carries them through a compiled loop."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters.partial_eval import dce_jaxpr

from benchmark_utils.oracles.ledger import ORACLES


class TracedCounts:
    """The counts that are known at run time only, carried through a loop as one short int64 vector.

    Oracles whose counts are one and the same traced number (the rows of one block) share an entry.

    Attributes
    ----------
    slots : dict of str to int
        Entry of the vector for each oracle with a traced count.
    """

    def __init__(self, counts):
        entries, self.slots = {}, {}
        for name, count in counts.items():
            if not isinstance(count, int):
                self.slots[name] = entries.setdefault(id(count), len(entries))
        self.size = len(entries)

    def zeros(self):
        """Return the vector before the loop."""
        return jnp.zeros(self.size, jnp.int64)

    def add(self, totals, counts):
        """Return the vector after one more pass with these counts."""
        if not self.size:
            return totals
        entry = {slot: name for name, slot in self.slots.items()}
        return totals + jnp.stack([jnp.asarray(counts[entry[i]], jnp.int64) for i in range(self.size)])

    def by_name(self, totals):
        """Return dict of oracle to its entry of the vector."""
        return {name: totals[slot] for name, slot in self.slots.items()}


class PendingCount(NamedTuple):
    """An entry of a vector of counts that the device may not have computed yet; `int` waits for it."""

    totals: jax.Array
    slot: int

    def __int__(self):
        return int(np.asarray(self.totals)[self.slot])


def counts_of(function, *args):
    """Trace ``function(*args) -> (result, counts)`` without running it and return the counts.

    Counts known at tracing time come back as Python integers; the others are only good for a type check.
    """
    kept = []

    def traced(*args):
        kept.append(function(*args)[1])
        return ()

    jax.eval_shape(traced, *args)
    return kept[0]


class CountedStep:
    """The counts of a step function, sorted by what they depend on.

    Most are known when the step is traced. Of the others, most depend on the draws alone (the rows of ragged blocks):
    those are taken out of the loop of iterations and computed for all iterations at once, beside it. What is left, for
    example branches that depend on the iteration, is carried through the loop.

    Parameters
    ----------
    step : callable
        ``step(state, hp, data, draws) -> (state, counts)`` with counts in the order of `ORACLES`.
    args : tuple
        Examples of ``(state, hp, data, draws)``.

    Attributes
    ----------
    static : dict of str to int
        Counts of one iteration that are known, by oracle.
    slots : dict of str to int
        Entry of the vector of totals for each of the other oracles: the carried ones first.
    """

    def __init__(self, step, *args):
        kept = []

        def traced(*args):
            kept.append(dict(zip(ORACLES, step(*args)[1], strict=True)))
            return [jnp.asarray(count, jnp.int64) for count in kept[0].values() if not isinstance(count, int)]

        jaxpr = jax.make_jaxpr(traced)(*args)
        self.static = {name: count for name, count in kept[0].items() if isinstance(count, int)}
        unknown = [name for name in kept[0] if name not in self.static]
        n_others = len(jax.tree.leaves(args[:3]))
        only_one = lambda i: dce_jaxpr(jaxpr.jaxpr, [k == i for k in range(len(unknown))])
        drawn = [name for i, name in enumerate(unknown) if not any(only_one(i)[1][:n_others])]
        self.carried = TracedCounts({name: kept[0][name] for name in unknown if name not in drawn})
        self.slots = self.carried.slots | {name: self.carried.size + k for k, name in enumerate(drawn)}
        self._jaxpr, used = dce_jaxpr(jaxpr.jaxpr, [name in drawn for name in unknown])
        self._consts, self._used, self._any_drawn = jaxpr.consts, used[n_others:], bool(drawn)

    def _drawn(self, draws):
        """Return the counts of one iteration that depend on its draws alone."""
        leaves = [leaf for leaf, used in zip(jax.tree.leaves(draws), self._used, strict=True) if used]
        return jnp.stack(jax.core.eval_jaxpr(self._jaxpr, self._consts, *leaves))

    def totals(self, carried, draws, n):
        """Return the vector of totals of ``n`` iterations: the carried ones and those that follow from the draws.

        Parameters
        ----------
        carried : int64 array of shape (carried.size,)
        draws : pytree of arrays of shape (length, *shape)
        n : 0-d integer array
        """
        if not self._any_drawn:
            return carried
        counts = jax.vmap(self._drawn)(draws)
        done = jnp.arange(counts.shape[0]) < n
        return jnp.concatenate([carried, jnp.where(done[:, None], counts, 0).sum(0)])


class PendingCounts(NamedTuple):
    """Counts of many members that the device may not have computed yet; `numpy` waits for them."""

    totals: jax.Array  # traced counts, shape (members, slots)
    n: int  # iterations done
    static: list  # counts of one iteration known at tracing time, by oracle
    slots: list  # entry of ``totals`` for each oracle, -1 for none

    def numpy(self):
        """Return the counts, int64 of shape (members, 6)."""
        totals = np.asarray(self.totals)
        out = np.tile(self.n * np.array(self.static, np.int64), (len(totals), 1))
        for column, slot in enumerate(self.slots):
            if slot >= 0:
                out[:, column] += totals[:, slot]
        return out
