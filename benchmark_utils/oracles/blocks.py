"""Mini-batches: fixed blocks of rows.

Rows are shuffled once with the data seed and cut into blocks of ``batch_size`` rows. A ragged last block is
padded with rows of zero weight. Every real row weighs ``n_blocks / n_samples``, so the uniform average over the
blocks equals the average over the rows to rounding.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from benchmark_utils.problem.parameters import shown
from benchmark_utils.problem.variables import ByColumns, SparseRows

#: Longest rows, and most rows of a block, that backends keep by columns.
SHORT, FEW = 32, 1024


class Partition(NamedTuple):
    """How the rows of one level are cut into blocks."""

    n_samples: int  # rows of the level
    batch_size: int  # rows of a block, padding included
    n_blocks: int  # ceil(n_samples / batch_size)
    last_size: int  # real rows of the last block

    @classmethod
    def of(cls, n_samples, batch_size, name="batch_size"):
        """Cut ``n_samples`` rows into blocks of ``batch_size`` rows (an int or ``"full"``).

        Raises
        ------
        ValueError
            With a sentence, where ``batch_size``, called ``name`` in it, cannot be.
        """
        b = n_samples if batch_size == "full" else batch_size
        if isinstance(b, bool) or not isinstance(b, (int, np.integer)) or b < 1:
            raise ValueError(f"{name} is {shown(batch_size)}; it must be a whole number, at least 1, or 'full'.")
        if b > n_samples:
            raise ValueError(
                f"{name} is {shown(batch_size)} but the level has {n_samples} samples; choose between 1 and "
                f"{n_samples}, or 'full'."
            )
        n_blocks = -(-n_samples // b)
        return cls(n_samples, int(b), n_blocks, n_samples - (n_blocks - 1) * int(b))

    def sizes(self):
        """Return the number of real rows of each block, int array of shape (n_blocks,)."""
        return np.append(np.full(self.n_blocks - 1, self.batch_size), self.last_size)


class Blocks(NamedTuple):
    """Rows of one level, cut into blocks; every array has the leading axes (n_blocks, batch_size)."""

    arrays: dict  # name -> array (n_blocks, batch_size, ...), SparseRows or, on a device, ByColumns
    weights: Any  # (n_blocks, batch_size): n_blocks / n_samples on real rows, 0 on padding
    ids: Any  # (n_blocks, batch_size) int32: row number in the problem's own order, 0 on padding


def make_blocks(arrays, partition, seed, dtype=np.float64):
    """Shuffle rows once and cut them into padded blocks.

    Parameters
    ----------
    arrays : dict of str to array or scipy.sparse matrix
        Data of one level, first axis ``partition.n_samples`` long.
    partition : Partition
    seed : int
        Data seed of the shuffle; the order does not depend on the batch size.
    dtype : dtype
        Of floating arrays; cast before they are cut, so that no copy in another precision is made on the way.

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

    cast = lambda a: a.astype(dtype, copy=False) if a.dtype.kind == "f" else a
    blocks = {
        name: _cut_sparse(sp.csr_array(cast(a))[order], partition)
        if sp.issparse(a)
        else cut(cast(np.asarray(a))[order])
        for name, a in arrays.items()
    }
    return Blocks(blocks, cut(np.full(n, n_blocks / n)), cut(order.astype(np.int32)))


def are_short(rows, columns):
    """Return whether blocks of that many rows and columns are kept by columns."""
    return 1 < columns <= SHORT and columns <= rows <= FEW


def by_columns(blocks):
    """Return `Blocks` whose dense arrays are `ByColumns` where all of them hold short rows, else as they are."""
    dense = {name: a for name, a in blocks.arrays.items() if getattr(a, "ndim", 0) == 3 and a.dtype.kind == "f"}
    if not all(are_short(*a.shape[1:]) for a in dense.values()):
        return blocks
    columns = {name: ByColumns(np.ascontiguousarray(a.swapaxes(1, 2))) for name, a in dense.items()}
    return blocks._replace(arrays={**blocks.arrays, **columns})


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


def one_block(array, take):
    """Return one block of an array, of sparse rows, or of rows kept by columns."""
    if isinstance(array, SparseRows):
        return SparseRows(*map(take, array))
    return take(array.blocks).mT if isinstance(array, ByColumns) else take(array)


def all_rows(xp, array, batch_size):
    """Merge the leading axes (n_blocks, batch_size) of an array, or renumber the rows of sparse blocks."""
    if isinstance(array, ByColumns):
        array = array.blocks.mT
    if isinstance(array, SparseRows):
        offset = xp.arange(array.rows.shape[0], dtype=array.rows.dtype)[:, None] * batch_size
        offset = xp.to_device_of(offset, array.rows)
        array = array._replace(rows=array.rows + offset)
        return SparseRows(*(a.reshape((-1,)) for a in array))
    return array.reshape((math.prod(array.shape[:2]), *array.shape[2:]))


def rows_of(backend, blocks, part, batch):
    """Return (dict of arrays with "ids", weights, number of real rows) of one block, or of all for a word.

    Parameters
    ----------
    backend : backend object
    blocks : Blocks
    part : Partition
    batch : int, 0-d integer array, or str
    """
    if isinstance(batch, str):  # the flattened blocks, padding included with weight zero
        arrays = {name: all_rows(backend.xp, a, part.batch_size) for name, a in blocks.arrays.items()}
        arrays["ids"] = blocks.ids.reshape((-1,))
        return arrays, blocks.weights.reshape((-1,)) / part.n_blocks, part.n_samples
    take = lambda a: backend.row_get(a, batch)
    arrays = {name: one_block(a, take) for name, a in blocks.arrays.items()}
    n = part.batch_size
    if part.last_size != n:  # one compare, so that the ragged block costs the rows it holds
        n = backend.select(batch == part.n_blocks - 1, part.last_size, n)
    return arrays | {"ids": take(blocks.ids)}, take(blocks.weights), n
