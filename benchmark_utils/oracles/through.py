"""Gradients of F through the gradient steps of a task: what MAML and ANIL ask for."""

import copy

from benchmark_utils.oracles.ledger import Ledger
from benchmark_utils.problem.variables import unflatten


def through(oracles, adapt, z, x, outer_batch):
    """Return the gradients in (z, x), shapes (p,) and (d,), of F at the end of ``adapt(oracles, z, x) -> (z, x)``.

    ``adapt`` takes gradient steps on G. With tasks it runs for each drawn task, on copies of z and x of its own and
    with oracles of that task, and the gradients are means over the tasks. Counted are its steps, a gradient of F, and,
    for the way back through each step, a product with the Hessian of G, as one "hvp" and one "cross".

    Parameters
    ----------
    oracles : Oracles
    adapt : callable
    z, x : arrays of shape (p,) and (d,)
    outer_batch : batch
    """
    oracles.asked.update(("grad_outer", "hvp", "cross"))
    oracles = copy.copy(oracles)
    oracles.bk = oracles.bk.reversible()
    if not oracles.spec.has_tasks:
        grads, spent = oracles.ledger.spent_in(lambda: _back(oracles, adapt, z, x, outer_batch))
        _count(oracles, spent, oracles._rows("outer", outer_batch)[2], 1)
        return grads
    _, weights, n = oracles._rows("inner", oracles.block)
    spent = []

    def of_task(i):
        one = _of_task(oracles, i)
        D_z, D_x = _back(one, adapt, z[None], x, oracles.block)
        spent[:] = [one.ledger.counts]
        return D_z[0], D_x

    tables = oracles.bk.map_blocks(Ledger(), oracles.spec.partitions["inner"].batch_size, of_task)
    _count(oracles, spent[0], n, n)
    return tuple(weights @ table for table in tables)


def _back(oracles, adapt, z, x, outer_batch):
    xp, spec = oracles.bk.xp, oracles.spec

    def loss(z, x):
        if spec.has_tasks:
            oracles.prepare(x)  # once for all steps that hold x
        z, x = adapt(oracles, z, x)
        rows, weights, _ = oracles._rows("outer", outer_batch)
        z = unflatten(xp, z, spec.shapes[0], leading=spec.has_tasks)
        return spec.terms["outer"].value(xp, z, unflatten(xp, x, spec.shapes[1]), rows, weights)

    return oracles.bk.grad(loss, (z, x), (0, 1))


def _count(oracles, spent, n_outer, times):
    back = dict.fromkeys(("hvp", "cross"), spent["grad_inner"])
    for counts in (spent, back):
        oracles.ledger.add(counts, times)
    oracles.ledger.tick("grad_outer", n_outer)


def _of_task(oracles, i):
    """Return oracles of one task of the drawn block, with a ledger of their own that counts it as one sample."""
    one, shared, of_level = copy.copy(oracles), oracles.data["shared"], {}
    one.ledger, one._prepared = Ledger(), (None, {})
    for level in ("inner", "outer"):
        rows, weights, _ = oracles._rows(level, oracles.block)
        own = {k: a if k in shared else oracles.bk.row_get(a, i)[None] for k, a in rows.items()}
        of_level[level] = own, 0 * weights[:1] + 1, 1
    one._rows = lambda level, batch: of_level[level]
    return one
