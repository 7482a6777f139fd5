"""The direction that a row is judged by is the one that moved x, taken at the x before."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import helpers
from helpers import make_solver, small_quadratic, stated_steps

#: Solvers whose step is not a positive multiple of d_x, with the reason.
NOT_ALONG = {
    "biadam": "each coordinate has a step of its own",
    "vr_biadam": "each coordinate has a step of its own",
    "anil": "Adam by default: each coordinate has a step of its own",
    "maml": "Adam by default: each coordinate has a step of its own",
    "optuna": "there is no direction",
    "template_jax": "momentum: x moves along an average of directions",
    "template_torch": "momentum: x moves along an average of directions",
}
#: Parameters with which a solver moves along its direction.
PLAIN = {"implicit_diff": dict(outer_optimiser="sgd", step_size=0.3)}

every_run = pytest.mark.parametrize(("run_stem", "framework"), helpers.runs())


def ready(stem, backend):
    """Return a solver at its start, in float64."""
    cls = helpers.solver_classes()[stem]
    common = dict(batch_size=16) | (stated_steps(cls) if stem in helpers.step_solvers() else PLAIN.get(stem, {}))
    return make_solver(cls, small_quadratic(), 10, precision="float64", backend=backend, **common)


def five_iterations(stem, backend, pieces):
    """Return the iterates after five iterations done in the given pieces, and x after each piece."""
    solver, xs = ready(stem, backend), []
    helpers.begin(solver)
    for n in pieces:
        assert helpers.advance(solver, n).n_iter == sum(pieces[: len(xs) + 1])
        xs.append(solver.get_result()["x"])
    return solver.get_result(), xs


@every_run
def test_x_before_is_the_x_of_the_iteration_before_however_the_run_is_cut(run_stem, framework):
    whole, _ = five_iterations(run_stem, framework, [5])
    cut, xs = five_iterations(run_stem, framework, [4, 1])
    assert_array_equal(whole["x"], cut["x"])
    assert_array_equal(whole["x_before"], cut["x_before"])
    if run_stem == "optuna":
        pytest.skip(NOT_ALONG["optuna"])
    assert_array_equal(cut["x_before"], xs[0])
    assert np.abs(cut["x"] - cut["x_before"]).max() > 0, "x did not move in the fifth iteration"


@every_run
def test_x_moves_along_its_direction(run_stem, framework):
    if run_stem in NOT_ALONG:
        pytest.skip(NOT_ALONG[run_stem])
    result, _ = five_iterations(run_stem, framework, [5])
    moved, d_x = result["x"] - result["x_before"], result["d_x"]
    gamma = -(moved @ d_x) / (d_x @ d_x)
    assert gamma > 0
    assert_allclose(moved, -gamma * d_x, rtol=0, atol=1e-10 * np.abs(moved).max())


def test_exceptions_are_true_and_of_this_project():
    assert set(NOT_ALONG) <= set(helpers.solver_classes())
    for stem in set(NOT_ALONG) - {"optuna"}:
        backend = helpers.solver_classes()[stem].parameters["backend"][-1]
        result, _ = five_iterations(stem, backend, [5])
        moved, d_x = result["x"] - result["x_before"], result["d_x"]
        cosine = moved @ d_x / np.linalg.norm(moved) / np.linalg.norm(d_x)
        assert abs(cosine + 1) > 1e-6, f"{stem} moves along its direction after all"
