"""A full pass block by block, where rows are kept by columns: each stays in the cache for all that is asked of it.

The quantities of all rows are the means over the blocks. Ninety thousand rows of 22 features (IJCNN1's outer level)
take a quarter of the time of one pass over all of them at once, and every sum is short, as those of mini-batches are.
"""

from benchmark_utils.problem.variables import ByColumns


def goes_by_block(oracles, level, batch):
    """Return whether a batch stands for all rows of a level, and those are visited block by block."""
    columns = any(isinstance(a, ByColumns) for a in oracles.data[level].arrays.values())
    return isinstance(batch, str) and columns and oracles.bk.loops and not oracles.spec.has_tasks


def over_blocks(oracles, level, names, z, x, v):
    """Return the quantities ``names`` of all rows of a level, flat; nothing is counted."""
    xp, n_blocks = oracles.bk.xp, oracles.spec.partitions[level].n_blocks
    like = {"grad_x": x, "cross": x, "value": xp.sum(z)}

    def add(k, totals):
        rows, weights, _ = oracles.read_rows(level, k)
        of_block = oracles.quantities(level, names, z, x, v, rows, weights)
        return [total + one for total, one in zip(totals, of_block, strict=True)]

    totals = oracles.bk.repeat(oracles.ledger, n_blocks, add, [xp.zeros_like(like.get(name, z)) for name in names])
    return [total / n_blocks for total in totals]
