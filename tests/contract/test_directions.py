"""What a row says of the last iteration: x moved from x_before against d_x, and no other way."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import helpers

#: Solvers that scale the direction coordinate by coordinate.
ADAPTIVE = ("biadam", "vr_biadam")


@pytest.fixture(params=sorted(helpers.step_solvers()))
def made(request, backend):
    """Return a solver that is ready to do five iterations; skip one that cannot run there."""
    cls = helpers.step_solvers()[request.param]
    problem, common = helpers.small_quadratic(), dict(backend=backend, batch_size=16)
    reason = helpers.why_skipped(cls, problem, **common)
    if reason is not None:
        pytest.skip(reason)
    return request.param, helpers.make_solver(
        cls, problem, 5, precision="float64", **common, **helpers.stated_steps(cls)
    )


def test_x_has_moved_from_x_before_against_the_direction_that_is_reported(made):
    stem, solver = made
    rows = []
    solver.run(lambda: rows.append(solver.get_result()) or True)
    by_count = {row["n_iter"]: row for row in rows}
    assert sorted(by_count) == [0, 1, 2, 3, 4, 5]
    for k in range(5):  # rows after 4 and 5 iterations end launches of one iteration
        assert_allclose(by_count[k + 1]["x_before"], by_count[k]["x"], rtol=0, atol=0)
    moved = by_count[5]["x_before"] - by_count[5]["x"]
    assert np.abs(moved).max() > 0
    if stem in ADAPTIVE:
        return
    d_x = by_count[5]["d_x"]
    cosine = moved @ d_x / np.linalg.norm(moved) / np.linalg.norm(d_x)
    assert_allclose(cosine, 1, rtol=0, atol=1e-9)


def test_the_x_before_of_a_longer_launch_is_that_of_its_last_iteration(made):
    stem, solver = made
    helpers.begin(solver)
    helpers.advance(solver, 5)
    launched = solver.get_result()
    helpers.begin(solver)
    for _ in range(5):
        helpers.advance(solver)
    alone = solver.get_result()
    for name in ("x_before", "d_x", "x"):
        assert_allclose(launched[name], alone[name], rtol=1e-12, atol=1e-12, err_msg=f"{stem} {name}")
    assert np.abs(launched["x_before"] - launched["x"]).max() > 0


def test_repetitions_draw_with_their_own_seeds(backend):
    problem = helpers.small_quadratic()
    cls = helpers.solver_classes()["soba"]
    solver = helpers.make_solver(cls, problem, 5, precision="float64", backend=backend, batch_size=16)
    found = []
    for seed in (0, 1, 0):
        helpers.at_start(solver, problem, seed, **solver.rules._asdict())
        solver.run(lambda: True)
        found.append(solver.get_result()["x"])
    assert np.abs(found[0] - found[1]).max() > 1e-6
    assert_allclose(found[2], found[0], rtol=0, atol=0)
