"""x stays in X, whatever the solver, and would leave it if the projection were missing."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

import helpers
from benchmark_utils.oracles.oracles import Oracles
from benchmark_utils.problem.feasible_set import Box
from helpers import make_solver, small_quadratic, stated_steps

#: Half width of the box around x0: less than any solver wants to move in N_ITER iterations.
WIDTH, N_ITER = 1e-3, 20
#: Rounding of the projected numbers.
TOLERANCE = 1e-12


def boxed():
    """Return the quadratic with a box so tight around x0 that every run hits it, and x0."""
    problem = small_quadratic()
    x0 = problem.init(np.random.default_rng(0))[1]
    assert np.ptp(x0) == 0
    return dataclasses.replace(problem, feasible_set=Box(x0[0] - WIDTH, x0[0] + WIDTH)), x0


def distances(stem, backend):
    """Return the largest distance of an entry of x from x0 at every row of a run."""
    cls, (problem, x0) = helpers.solver_classes()[stem], boxed()
    common = dict(batch_size=16) | (stated_steps(cls) if stem in helpers.step_solvers() else {})
    solver = make_solver(cls, problem, N_ITER, precision="float64", backend=backend, **common)
    rows = []
    solver.run(lambda: rows.append(np.abs(solver.get_result()["x"] - x0).max()) or True)
    assert solver.run_state.n_iter == N_ITER
    return np.array(rows)


@pytest.mark.parametrize(("run_stem", "framework"), helpers.runs())
def test_x_stays_in_the_box_and_touches_it(run_stem, framework):
    rows = distances(run_stem, framework)
    assert (rows <= WIDTH + TOLERANCE).all()
    assert_allclose(rows.max(), WIDTH, rtol=0, atol=TOLERANCE, err_msg="the run does not feel the box")


@pytest.mark.parametrize("file_stem", helpers.solver_classes())
def test_without_the_projection_the_test_above_is_red(file_stem, monkeypatch):
    monkeypatch.setattr(Oracles, "project", lambda self, x: x)
    cls = helpers.solver_classes()[file_stem]
    backend = "torch" if "torch" in cls.parameters["backend"] else "jax"
    assert distances(file_stem, backend).max() > 1.5 * WIDTH
