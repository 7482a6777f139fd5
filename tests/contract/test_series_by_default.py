"""Methods with a Neumann series have, by default, enough of it: their direction at (z*(x), x) is close to grad h."""

import dataclasses

import numpy as np
import pytest

import helpers
from benchmark_utils.formulas import hypergradient
from benchmark_utils.oracles.oracles import FULL
from benchmark_utils.running.search_space import start_of

PROBLEMS = ("simulated", "breast_cancer", "digits_cleaning")
LIMITS = {stem: cls.deterministic["limit"] for stem, cls in helpers.step_solvers().items()}
TRUNCATED = sorted(stem for stem, limit in LIMITS.items() if limit == "neumann")
RANDOM = sorted(stem for stem, limit in LIMITS.items() if limit == "hia")


def at_the_solution(name):
    """Return (the problem whose start is (z*(x0), x0), its solution there, the view of the problem itself).

    The last one gives the default step: the curvature is measured at the problem's own start.
    """
    problem = helpers.dataset_problem(name)
    x = problem.init(np.random.default_rng(0))[1]
    solution = problem.evaluator.solve(x)
    return dataclasses.replace(problem, init=lambda rng: (solution.z, x)), solution, problem.view


def off(direction, solution):
    """Return the relative error of a direction."""
    return np.linalg.norm(direction - solution.gradient) / np.linalg.norm(solution.gradient)


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("which", TRUNCATED)
def test_direction_with_full_batches_is_within_5_percent(which, name):
    problem, solution, view = at_the_solution(name)
    assert off(0 * solution.gradient, solution) == 1
    # The start is kept where it is: inner steps at z* do not move, but for methods that start at zero.
    cls, chosen = helpers.step_solvers()[which], {"warm_start": "z"} if which == "ba" else {}
    chosen["neumann_step"] = start_of(cls.search_space["neumann_step"], view)
    solver = helpers.make_solver(cls, problem, 1, precision="float64", backend="torch", batch_size="full", **chosen)
    helpers.begin(solver)
    helpers.advance(solver)
    error = off(helpers.on_host(solver).d_x, solution)
    assert error < 0.05, f"{which} on {name}: {error:.3f}"


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("which", RANDOM)
def test_direction_averaged_over_lengths_is_within_5_percent(which, name):
    problem, solution, view = at_the_solution(name)
    cls, oracles = helpers.step_solvers()[which], helpers.make_oracles(problem, "torch", 64)
    eta, Q = (start_of(cls.search_space[key], view) for key in ("neumann_step", "n_neumann_steps"))
    z, x = (oracles.bk.asarray(a) for a in problem.init(None))
    # What the random term averages to (tests/contract/test_random_lengths.py): the series with Q terms.
    direction = hypergradient.shia(oracles, z, x, eta, Q - 1, FULL, FULL, FULL)
    error = off(oracles.bk.to_numpy(direction), solution)
    assert error < 0.05, f"{which} on {name}: {error:.3f}"
