"""Mini-batches: fixed blocks of rows, and the host-side streams that draw them.

Rows are shuffled once with the data seed and cut into blocks of ``batch_size`` rows. A ragged last block is
padded with rows of zero weight. Every real row weighs ``n_blocks / n_samples``, so the uniform average over the
blocks equals the average over the rows to rounding.

NumPy draws every random number of a run on the host, one stream per role of the draw plan, from the seed of
the repetition. The draws depend neither on the backend nor on how a run is cut into chunks.
"""

import zlib
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp


class Partition(NamedTuple):
    """How the rows of one level are cut into blocks."""

    n_samples: int  # rows of the level
    batch_size: int  # rows of a block, padding included
    n_blocks: int  # ceil(n_samples / batch_size)
    last_size: int  # real rows of the last block

    @classmethod
    def of(cls, n_samples, batch_size):
        """Cut ``n_samples`` rows into blocks of ``batch_size`` rows (an int or ``"full"``)."""
        b = n_samples if batch_size == "full" else int(batch_size)
        if not 1 <= b <= n_samples:
            raise ValueError(
                f"batch_size is {batch_size} but the level has {n_samples} samples; choose between 1 and "
                f"{n_samples}, or 'full'."
            )
        n_blocks = -(-n_samples // b)
        return cls(n_samples, b, n_blocks, n_samples - (n_blocks - 1) * b)

    def sizes(self):
        """Return the number of real rows of each block, int array of shape (n_blocks,)."""
        return np.append(np.full(self.n_blocks - 1, self.batch_size), self.last_size)


class SparseRows(NamedTuple):
    """Rows of a sparse matrix as coordinates; padding has value 0 in row 0, column 0.

    With a leading axis of blocks the shapes are (n_blocks, nnz); for one block or for all rows, (nnz,).
    """

    values: Any  # entries
    columns: Any  # int32 column of each entry
    rows: Any  # int32 row of each entry within its block


class Blocks(NamedTuple):
    """Rows of one level, cut into blocks; every array has the leading axes (n_blocks, batch_size)."""

    arrays: dict  # name -> array (n_blocks, batch_size, ...) or SparseRows
    weights: Any  # (n_blocks, batch_size): n_blocks / n_samples on real rows, 0 on padding
    ids: Any  # (n_blocks, batch_size) int32: row number in the problem's own order, 0 on padding


def make_blocks(arrays, partition, seed):
    """Shuffle rows once and cut them into padded blocks.

    Parameters
    ----------
    arrays : dict of str to array or scipy.sparse matrix
        Data of one level, first axis ``partition.n_samples`` long.
    partition : Partition
    seed : int
        Data seed of the shuffle; the order does not depend on the batch size.

    Returns
    -------
    Blocks
        NumPy arrays, or `SparseRows` for sparse matrices.
    """
    n, b, n_blocks, _ = partition
    order = np.random.default_rng(seed).permutation(n)

    def cut(rows):
        padding = np.zeros((n_blocks * b - n, *rows.shape[1:]), rows.dtype)
        return np.concatenate([rows, padding]).reshape(n_blocks, b, *rows.shape[1:])

    blocks = {
        name: _cut_sparse(sp.csr_array(a)[order], partition) if sp.issparse(a) else cut(np.asarray(a)[order])
        for name, a in arrays.items()
    }
    return Blocks(blocks, cut(np.full(n, n_blocks / n)), cut(order.astype(np.int32)))


def _cut_sparse(matrix, partition):
    """Cut a CSR matrix into coordinate lists, padded to the longest block."""
    edges = np.minimum(np.arange(partition.n_blocks + 1) * partition.batch_size, partition.n_samples)
    starts = matrix.indptr[edges]
    shape = (partition.n_blocks, int(np.diff(starts).max()))
    values = np.zeros(shape, matrix.dtype)
    columns, rows = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    row_of = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)) % partition.batch_size
    for i, (lo, hi) in enumerate(zip(starts[:-1], starts[1:], strict=True)):
        values[i, : hi - lo] = matrix.data[lo:hi]
        columns[i, : hi - lo] = matrix.indices[lo:hi]
        rows[i, : hi - lo] = row_of[lo:hi]
    return SparseRows(values, columns, rows)


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


def iterations_of_one_epoch(plan, partitions):
    """Return after how many iterations a plan has drawn as many samples as the two levels hold together, at least 1."""
    drawn = sum(int(np.prod(d.shape)) * partitions[d.kind].batch_size for d in plan.values() if d.kind in partitions)
    return max(1, -(-sum(part.n_samples for part in partitions.values()) // drawn))


def why_bad_period(period):
    """Return a sentence if a solver's ``period`` is neither a positive integer nor "epoch", else None."""
    if period == "epoch" or (isinstance(period, int) and period >= 1):
        return None
    return f"period is {period!r}; it must be a number of iterations, at least 1, or 'epoch'."


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

    def bytes_per_iteration(self):
        """Return the bytes that the draws of one iteration take."""
        return sum(int(np.prod(d.shape)) * (8 if d.kind == "normal" else 4) for d in self.plan.values())
