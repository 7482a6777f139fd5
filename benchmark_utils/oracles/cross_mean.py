"""Means of cross products over mini-batches that do not write all of x for each of them."""

from benchmark_utils.problem.variables import flatten, unflatten


def cross_mean(oracles, z, x, v, batches, n):
    """Return the mean of C v over the first ``n`` of several batches, shape of x; each is read and counted.

    Where a batch moves few rows of x (`Term.cross_of_rows`) those alone are added, in place once compiled by JAX: for
    noise on images a product costs what its rows do, not what the noise of all images does.

    Parameters
    ----------
    oracles : Oracles
    z, x, v : array
        Flat.
    batches : sequence of batches
    n : int or 0-d array
    """
    term = oracles.spec.terms["inner"]
    if term.cross_of_rows is None:
        return oracles.repeat(n, lambda j, total: total + oracles.cross(z, x, v, batches[j]), 0 * x) / n
    xp, (z_shape, x_shape) = oracles.bk.xp, oracles.spec.shapes
    of_term = [unflatten(xp, a, shape) for a, shape in ((z, z_shape), (x, x_shape), (v, z_shape))]

    def add(j, total):
        ids, values = oracles.cross_of_rows(of_term, batches[j])
        return xp.add_rows(total, ids, values)

    return flatten(xp, oracles.repeat(n, add, 0 * of_term[1]), shape=x_shape) / n
