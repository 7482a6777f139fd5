"""LancBiO where z and x stand still: the Lanczos process solves the linear system, and survives its end."""

import numpy as np
import pytest

import helpers
from benchmark_utils.builders.quadratic import quadratic_problem

LANCBIO = helpers.solver_classes()["lancbio"]
#: Steps so small that z and x do not move.
STILL = dict(step_size=1e-20, outer_ratio=1.0, dimension_schedule="constant", batch_size="full")


def errors(backend, n_iter, problem=None, **parameters):
    """Return the relative error of v after each of n_iter iterations, and the ledger."""
    problem = problem or helpers.small_quadratic()
    solver = helpers.make_solver(LANCBIO, problem, n_iter, backend=backend, precision="float64", **STILL | parameters)
    q, out = problem.evaluator, []
    helpers.begin(solver)
    for _ in range(n_iter):
        helpers.advance(solver)
        s = helpers.on_host(solver)
        exact = -np.linalg.solve(q.A, q.A_F @ s.z + q.C_F.T @ s.x + q.c_F)
        out.append(np.linalg.norm(s.v - exact) / np.linalg.norm(exact))
    return np.array(out), solver.get_result()["counts"]


def test_as_many_steps_as_variables_solve_the_system_and_the_steps_after_them_keep_it_solved(backend):
    found, _ = errors(backend, 30, dimension=6)
    assert found[4] > 1e-6, "five steps must not be enough"
    assert found[5:].max() < 1e-10


def test_a_basis_never_holds_more_vectors_than_there_are_variables(backend):
    found, counts = errors(backend, 25, dimension=20)
    assert found[5:].max() < 1e-10
    assert counts["hvp"] == 70 * (25 + 5)  # restarts at 0, 6, 12, 18, 24


def test_where_the_subspace_is_exhausted_no_rounding_error_becomes_a_direction(backend):
    problem = quadratic_problem(70, 50, 6, 4, mu=1.0, L=1.0, L_cross=0.2, seed=0)  # H is the identity
    found, _ = errors(backend, 6, problem, dimension=6)
    assert found.max() < 1e-10


def test_a_restart_costs_one_product_more_and_loses_nothing(backend):
    found, counts = errors(backend, 13, dimension=3)
    assert counts["hvp"] == 70 * (13 + 5)  # restarts at 0, 3, 6, 9, 12
    assert (np.diff(found) < 0).all()
    assert found[-1] < 1e-2 * found[0]


@pytest.mark.parametrize(("parameters", "word"), [({"dimension": 21}, "room for 20"), ({"dimension": 0}, "at least 1")])
def test_dimensions_that_cannot_be_are_a_sentence(parameters, word):
    assert word in helpers.why_skipped(LANCBIO, helpers.small_quadratic(), backend="torch", **parameters)


def test_the_dimension_grows_to_its_cap():
    solver = helpers.make_solver(
        LANCBIO, helpers.small_quadratic(p=12), 1, backend="torch", precision="float64", dimension=10, growth_period=5
    )
    sizes = [solver.dimension_at(t) for t in range(0, 50, 5)]
    assert sizes == [1, 2, 3, 4, 6, 8, 10, 10, 10, 10]
    assert solver.dimension_at(3) == 1
    assert solver.dimension_at(4) == 2
