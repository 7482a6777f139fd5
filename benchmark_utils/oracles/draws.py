"""The draw plan of a solver, and the host-side streams that fill it.

NumPy draws every random number of a run on the host, one stream for each role of the plan, from the seed of the
repetition. The draws depend neither on the backend nor on how a run is cut into chunks.
"""

import math
import zlib
from typing import NamedTuple

import numpy as np


class Draw(NamedTuple):
    """What one role of a draw plan asks for at each outer iteration.

    Build it with `inner`, `outer`, `integers`, `bernoulli` or `normal`.
    """

    kind: str  # "inner", "outer", "integers", "bernoulli" or "normal"
    shape: tuple  # shape of the draw of one iteration; () is a scalar
    bounds: tuple = ()  # (low, high) of integers, (p,) of bernoulli


def inner(*shape):
    """Ids of blocks of G, uniform with replacement: one, or an array of the given shape."""
    return Draw("inner", shape)


def outer(*shape):
    """Ids of blocks of F, uniform with replacement: one, or an array of the given shape."""
    return Draw("outer", shape)


def integers(low, high, *shape):
    """Uniform integers in ``low .. high - 1`` (random lengths)."""
    return Draw("integers", shape, (low, high))


def bernoulli(p, *shape):
    """0 or 1, 1 with probability ``p`` (random branches), as int32."""
    return Draw("bernoulli", shape, (p,))


def normal(*shape):
    """Standard normal numbers (random directions)."""
    return Draw("normal", shape)


def bytes_of(draw):
    """Return the bytes that a role takes in one iteration."""
    return math.prod(draw.shape) * (8 if draw.kind == "normal" else 4)


def iterations_of_one_epoch(plan, partitions):
    """Return after how many iterations a plan has drawn as many samples as the two levels hold together, at least 1."""
    drawn = sum(int(np.prod(d.shape)) * partitions[d.kind].batch_size for d in plan.values() if d.kind in partitions)
    return max(1, -(-sum(part.n_samples for part in partitions.values()) // drawn))


class DrawStreams:
    """All random numbers of one run, role by role.

    Parameters
    ----------
    plan : dict of str to Draw
        The solver's draws by role.
    partitions : dict
        `Partition` of the levels "inner" and "outer".
    seed : int
        Seed of the repetition; each role has its own stream ``(seed, crc32(role))``, so that a plan with one
        role more leaves the others unchanged.
    """

    def __init__(self, plan, partitions, seed):
        self.plan, self.partitions = plan, partitions
        self.rngs = {role: np.random.default_rng([seed, zlib.crc32(role.encode())]) for role in plan}

    def take(self, n):
        """Return the draws of the next ``n`` iterations: dict of role to array of shape (n, ...)."""
        return {role: self._one(self.rngs[role], draw, (n, *draw.shape)) for role, draw in self.plan.items()}

    def _one(self, rng, draw, shape):
        if draw.kind in self.partitions:
            return rng.integers(0, self.partitions[draw.kind].n_blocks, size=shape, dtype=np.int32)
        if draw.kind == "integers":
            return rng.integers(*draw.bounds, size=shape, dtype=np.int32)
        if draw.kind == "bernoulli":
            return (rng.random(size=shape) < draw.bounds[0]).astype(np.int32)
        return rng.standard_normal(size=shape)

    def peek(self, n):
        """Return what `take` would, without moving on."""
        position = self.position()
        drawn = self.take(n)
        self.go_to(position)
        return drawn

    def position(self):
        """Return where every stream stands: dict of role to the state of its generator, plain Python numbers."""
        return {role: rng.bit_generator.state for role, rng in self.rngs.items()}

    def go_to(self, position):
        """Go to a `position` taken earlier, in this process or in another one."""
        for role, state in position.items():
            self.rngs[role].bit_generator.state = state

    def bytes_per_iteration(self):
        """Return the bytes that the draws of one iteration take."""
        return sum(map(bytes_of, self.plan.values()))
