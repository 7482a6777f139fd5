"""Counts that are known at run time only: how the JAX backend carries them through a compiled loop."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


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


class PendingCounts(NamedTuple):
    """Counts of many members that the device may not have computed yet; `numpy` waits for them."""

    totals: jax.Array  # traced counts, shape (members, slots)
    active: jax.Array  # bool, shape (members,)
    n: int  # iterations done
    static: list  # counts of one iteration known at tracing time, by oracle
    slots: list  # entry of ``totals`` for each oracle, -1 for none

    def numpy(self):
        """Return the counts, int64 of shape (members, 6)."""
        totals, active = np.asarray(self.totals), np.asarray(self.active)
        out = active[:, None] * self.n * np.array(self.static, np.int64)
        for column, slot in enumerate(self.slots):
            if slot >= 0:
                out[:, column] += totals[:, slot]
        return out
