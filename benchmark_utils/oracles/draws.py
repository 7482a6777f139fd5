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


#: How ids of blocks are drawn, see `Reshuffled`: the parameter ``sampling`` of the solvers.
SAMPLING = ("with_replacement", "reshuffled", "shuffled_once")


def inner(*shape):
    """Ids of blocks of G, uniform, as ``sampling`` says: one, or an array of the given shape."""
    return Draw("inner", shape)


def outer(*shape):
    """Ids of blocks of F, uniform, as ``sampling`` says: one, or an array of the given shape."""
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


#: Words for the time from one full pass to the next, in epochs; a whole number counts iterations.
PERIODS = {"epoch_hundredth": 1 / 100, "epoch_half": 1 / 2, "epoch": 1, "epochs_8": 8, "epochs_512": 512}


def iterations_of(period, plan, partitions):
    """Return a period in iterations, at least 1.

    Parameters
    ----------
    period : int or str
        A number of iterations, or a word of `PERIODS`.
    plan, partitions
        See `iterations_of_one_epoch`.
    """
    if not isinstance(period, str):
        return period
    return max(1, math.ceil(PERIODS[period] * iterations_of_one_epoch(plan, partitions)))


#: Least ids that `Reshuffled` draws at a time: passes over few blocks are drawn many at once, on the clock as they are.
PAGE = 4096


class Reshuffled:
    """Ids 0 .. n - 1 without replacement: permutations one after the other, cut wherever a chunk ends.

    Parameters
    ----------
    rng : numpy.random.Generator
    n : int
        Number of ids.
    once : bool
        Whether every pass repeats the permutation of the first.
    """

    def __init__(self, rng, n, once):
        self.rng, self.n, self.once = rng, n, once
        self._begin(rng.bit_generator.state)

    def _begin(self, state):
        self.before, self.used = state, 0
        self.rng.bit_generator.state = state
        passes = np.tile(np.arange(self.n, dtype=np.int32), (-(-PAGE // self.n), 1))
        if self.once:
            passes[:] = self.rng.permutation(passes[0])
        else:
            self.rng.permuted(passes, axis=1, out=passes)
        self.page = passes.ravel()

    def take(self, count):
        """Return the next ``count`` ids, int32."""
        pieces, left = [], count
        while left > 0:
            if self.used == len(self.page):
                self._begin(self.before if self.once else self.rng.bit_generator.state)
            piece = self.page[self.used : self.used + left]
            pieces.append(piece)
            self.used, left = self.used + len(piece), left - len(piece)
        return np.concatenate(pieces) if pieces else np.zeros(0, np.int32)

    def position(self):
        """Return where the stream stands, as plain Python numbers."""
        return {"before": self.before, "used": self.used}

    def go_to(self, position):
        """Go to a `position` taken earlier."""
        self._begin(position["before"])
        self.used = position["used"]


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
    sampling : str
        How ids of blocks are drawn, one of `SAMPLING`: uniformly with replacement; every block once before any comes
        again, in a new random order at each pass (random reshuffling), or in the same one (shuffle once). Each role
        passes through the blocks on its own.
    """

    def __init__(self, plan, partitions, seed, sampling="with_replacement"):
        self.plan, self.partitions = plan, partitions
        self.rngs = {role: np.random.default_rng([seed, zlib.crc32(role.encode())]) for role in plan}
        self.shuffled = {}
        if sampling != "with_replacement":
            self.shuffled = {
                role: Reshuffled(self.rngs[role], partitions[draw.kind].n_blocks, sampling == "shuffled_once")
                for role, draw in plan.items()
                if draw.kind in partitions
            }

    def take(self, n):
        """Return the draws of the next ``n`` iterations: dict of role to array of shape (n, ...)."""
        return {role: self._one(role, draw, (n, *draw.shape)) for role, draw in self.plan.items()}

    def _one(self, role, draw, shape):
        if role in self.shuffled:
            return self.shuffled[role].take(math.prod(shape)).reshape(shape)
        rng = self.rngs[role]
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
        """Return where every stream stands: dict of role to its position, plain Python numbers."""
        own = {role: ids.position() for role, ids in self.shuffled.items()}
        return {role: rng.bit_generator.state for role, rng in self.rngs.items()} | own

    def go_to(self, position):
        """Go to a `position` taken earlier, in this process or in another one."""
        for role, state in position.items():
            if role in self.shuffled:
                self.shuffled[role].go_to(state)
            else:
                self.rngs[role].bit_generator.state = state

    def bytes_per_iteration(self):
        """Return the bytes that the draws of one iteration take."""
        return sum(map(bytes_of, self.plan.values()))
