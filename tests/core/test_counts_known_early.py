"""Counts that are known before anything runs stay Python integers, and are those of every call."""

import numpy as np
import pytest

import helpers
from benchmark_utils.oracles.ledger import ORACLES
from benchmark_utils.oracles.oracles import FULL

N = 70  # rows of G


def calls(oracles, z, x):
    """Visit all rows twice by one oracle and once by another."""
    out = oracles.hvp(z, x, z, FULL) + oracles.hvp(z, x, z, 0)
    return out + oracles.grad_inner(z, x, FULL)


@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("how", ["at points", "along an axis", "in a loop", "in a loop at points"])
def test_static_counts_are_multiplied(how, times, backend):
    oracles = helpers.make_oracles(helpers.small_quadratic(), backend, "full")
    xp, rng, factor = oracles.bk.xp, np.random.default_rng(0), times
    point = lambda: tuple(oracles.bk.asarray(rng.standard_normal(size)) for size in (6, 4))
    points = [point() for _ in range(times)]
    if how == "at points":
        oracles.at_points(lambda z, x: calls(oracles, z, x), *points)
    elif how == "along an axis":
        entries = (xp.stack(arrays) for arrays in zip(*points, strict=True))
        oracles.vmap(lambda z, x: calls(oracles, z, x), *entries)
    else:
        loop = lambda z, x: oracles.repeat(times, lambda k, z: z + 1e-3 * calls(oracles, z, x), z)
        if how == "in a loop":
            loop(*points[0])
        else:
            oracles.at_points(loop, *points)
            factor = times**2
    counts = oracles.ledger.counts
    assert {name: int(count) for name, count in counts.items()} == dict.fromkeys(ORACLES, 0) | {
        "hvp": 2 * N * factor, "grad_inner": N * factor
    }  # fmt: skip
    assert all(isinstance(count, int) for count in counts.values())


@pytest.mark.parametrize(
    ("algorithm", "n_carried"),
    [("soba", 0), pytest.param("f2sa", 0, marks=pytest.mark.slow), pytest.param("vrbo", 1, marks=pytest.mark.slow)],
)
def test_counts_that_follow_from_the_draws_are_not_carried_through_the_loop(algorithm, n_carried):
    """VRBO's branches depend on the iteration."""
    import jax

    from benchmark_utils.backends.jax.counts import CountedStep

    solver = helpers.solver_classes()[algorithm].get_instance(backend="jax", batch_size=16)
    helpers.at_start(solver, helpers.small_quadratic())
    program = solver.program
    launched = program.begin()
    draws = program.take(launched.draws, 5)
    first = jax.tree.map(lambda a: a[0], draws)
    counted = CountedStep(program.counted_step, launched.carry, program.hp, program.data, first)
    assert (counted.carried.size > 0) == (n_carried > 0)
    assert set(counted.static) | set(counted.slots) == set(ORACLES)
