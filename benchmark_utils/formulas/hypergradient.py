"""Stochastic hypergradient estimates built from the oracles: gradient of F, linear system, cross product."""

from benchmark_utils.formulas import linear_system


def joint(oracles, z, v, x, inner_batch, outer_batch):
    """Return (D_z, D_v, D_x), shapes (p,), (p,), (d,), at one point from one batch of each level."""
    D_z, Hv, Cv = oracles.inner_joint(z, x, v, inner_batch)
    F_z, F_x = oracles.grad_outer(z, x, outer_batch)
    return D_z, Hv + F_z, Cv + F_x


def parts(oracles, group, z, v, x, inner_batch, outer_batch):
    """Return (what a batch of G, what a batch of F adds to D_z, D_v and D_x), two tuples, for some of the three.

    Parameters
    ----------
    group : str
        Letters of the directions that are wanted, in the order of "zvx".
    """
    if group == "zvx":
        of_G = oracles.inner_joint(z, x, v, inner_batch)
    elif group == "vx":
        of_G = oracles.hvp_cross(z, x, v, inner_batch)
    else:
        one = {
            "z": lambda: oracles.grad_inner(z, x, inner_batch),
            "v": lambda: oracles.hvp(z, x, v, inner_batch),
            "x": lambda: oracles.cross(z, x, v, inner_batch),
        }
        of_G = [one[k]() for k in group]
    of_F = () if group == "z" else oracles.grad_outer(z, x, outer_batch)
    return tuple(of_G), tuple(of_F)


def directions(group, of_G, of_F):
    """Return those of D_z = grad_z G, D_v = H v + grad_z F, D_x = C v + grad_x F in ``group`` from their `parts`."""
    return tuple(g if k == "z" else g + of_F["vx".index(k)] for k, g in zip(group, of_G, strict=True))


def implicit(oracles, z, x, solve, outer_batch, cross_batch, n_cross=1):
    """Return (D_x, v) with ``v = solve(grad_z F)`` and ``D_x = grad_x F + C v``.

    Parameters
    ----------
    solve : callable
        ``solve(b) -> v`` with v ~ -H^{-1} b.
    outer_batch, cross_batch : batch
        Batches of F and of the cross product.
    n_cross : int
        Where it is more than 1, ``cross_batch`` holds so many batches, over which the product is averaged.
    """
    F_z, F_x = oracles.grad_outer(z, x, outer_batch)
    v = solve(F_z)
    if n_cross == 1:
        return F_x + oracles.cross(z, x, v, cross_batch), v
    return F_x + oracles.cross_mean(z, x, v, cross_batch, n_cross), v


def shia(oracles, z, x, eta, n, linear_batches, outer_batch, cross_batch):
    """Return D_x with the truncated Neumann series (`linear_system.shia`), one batch a product.

    ``linear_batches`` may be FULL, for all products.
    """
    batch = lambda k: linear_batches if isinstance(linear_batches, str) else linear_batches[k]
    hvp = lambda k, u: oracles.hvp(z, x, u, batch(k))
    return implicit(
        oracles, z, x, lambda b: linear_system.shia(oracles, hvp, b, None, eta, n), outer_batch, cross_batch
    )[0]


def hia(oracles, z, x, eta, n, length, linear_batches, outer_batch, cross_batch):
    """Return D_x with one random term of the series (`linear_system.hia`), one batch a product."""
    hvp = lambda k, u: oracles.hvp(z, x, u, linear_batches[k])
    return implicit(
        oracles, z, x, lambda b: linear_system.hia(oracles, hvp, b, None, eta, n, length), outer_batch, cross_batch
    )[0]
