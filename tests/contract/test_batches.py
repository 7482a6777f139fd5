"""Sizes of the batches of the two levels, and how they are drawn: the same options for every solver that draws."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import helpers
from helpers import make_solver, run, small_quadratic, stated_steps


def test_outer_batches_may_have_a_size_of_their_own(solver_class):
    problem, common = small_quadratic(), dict(batch_size=16, backend="torch") | stated_steps(solver_class)
    if "outer_batch_size" not in solver_class.parameters:
        pytest.skip("a template")
    if helpers.why_skipped(solver_class, problem, batch_size=16):
        pytest.skip("declines")
    same, own = (run(solver_class, problem, 3, **common, outer_batch_size=size) for size in ("same", "full"))
    few, every = (sum(r["counts"][oracle] for oracle in ("grad_outer", "value")) for r in (same, own))
    assert every > few > 0, "all 50 rows where blocks of 16 were taken"


@pytest.mark.parametrize("size", [0, 51, -3, 2.5, "word"])
def test_an_outer_batch_that_cannot_be_is_refused_by_its_name(size):
    reason = helpers.why_skipped(helpers.solver_classes()["soba"], small_quadratic(), outer_batch_size=size)
    assert "outer_batch_size is" in reason


def test_with_tasks_the_levels_share_their_blocks():
    problem = helpers.dataset_problem("fewshot_digits")
    reason = helpers.why_skipped(helpers.solver_classes()["soba"], problem, batch_size=8, outer_batch_size=4)
    assert "draws tasks" in reason


@pytest.mark.parametrize("sampling", ["reshuffled", "shuffled_once"])
def test_every_block_is_read_once_in_a_pass_without_replacement(sampling, backend):
    solver = make_solver(
        helpers.solver_classes()["soba"], small_quadratic(), 20, backend=backend, batch_size=16, sampling=sampling
    )
    solver.run(lambda: True)
    counts = solver.get_result()["counts"]
    assert counts["grad_inner"] == 4 * 70, "20 iterations: four passes over five blocks of 70 rows, the ragged one too"
    assert counts["grad_outer"] == 5 * 50, "and five passes over four blocks of 50 rows"


def test_the_measured_curvature_is_that_of_the_hessian_at_the_start():
    for problem in (small_quadratic(), helpers.small_classes(), helpers.small_sparse()):
        view, (z0, x0) = problem.view, problem.init(np.random.default_rng(0))
        oracles = helpers.make_oracles(problem, "torch", "full")
        H = np.stack([np.asarray(oracles.hvp(*map(oracles.bk.asarray, (z0, x0, v)), "full")) for v in np.eye(len(z0))])
        values = np.linalg.eigvalsh((H + H.T) / 2)
        assert_allclose(view.L, values[-1], rtol=0.02)
        assert_allclose(view.mu, values[0], rtol=1e-6)


@pytest.mark.parametrize("name", ["equilibrium_digits", "fewshot_digits"])
def test_where_the_curvature_is_not_known_it_is_none(name):
    view = helpers.dataset_problem(name).view
    assert view.L is None
    assert view.mu is None
