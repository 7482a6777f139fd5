"""Heavy ball and Adam outside: what they must equal, and that the plain step carries no memory for them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import helpers

#: Solvers that move x by `benchmark_utils.formulas.outer_step`.
STEMS = [stem for stem, cls in helpers.step_solvers().items() if "outer_optimiser" in cls.parameters]
FULL = dict(batch_size="full", backend="torch", step_size=0.3, outer_ratio=3.0)


def states(stem, n, **parameters):
    """Yield the State at the start and after each of n iterations."""
    solver = helpers.make_solver(
        helpers.step_solvers()[stem], helpers.small_quadratic(), n, precision="float64", **FULL | parameters
    )
    helpers.begin(solver)
    yield helpers.on_host(solver)
    for _ in range(n):
        helpers.advance(solver)
        yield helpers.on_host(solver)


@pytest.mark.parametrize("which", STEMS)
def test_fields_are_empty_where_the_step_has_no_use_for_them(which):
    sizes = {}
    for word in ("sgd", "heavy_ball", "adam"):
        *_, last = states(which, 1, outer_optimiser=word)
        sizes[word] = (last.m_x.size, last.s_x.size)
    assert sizes == {"sgd": (0, 0), "heavy_ball": (4, 0), "adam": (4, 4)}


@pytest.mark.parametrize("which", STEMS)
def test_heavy_ball_moves_by_the_direction_and_a_share_of_the_last_move(which):
    run = list(states(which, 4, outer_optimiser="heavy_ball", outer_momentum=0.6))
    for before, now, after in zip(run, run[1:], run[2:], strict=False):
        move = -0.1 * after.d_x + 0.6 * (now.x - before.x)
        assert_allclose(after.x - now.x, move, rtol=0, atol=1e-13)
    plain = [s.x for s in states(which, 4, outer_optimiser="sgd")]
    forgetful = [s.x for s in states(which, 4, outer_optimiser="heavy_ball", outer_momentum=0.0)]
    assert_array_equal(plain, forgetful)


@pytest.mark.parametrize("which", STEMS)
def test_adam_first_moves_every_coordinate_by_one_step(which):
    start, first = states(which, 1, outer_optimiser="adam", outer_momentum=0.6)
    assert np.abs(first.d_x).min() > 1e-3
    assert_allclose(first.x - start.x, -0.1 * np.sign(first.d_x), rtol=1e-4)
