"""A solver put at the start of a problem, without benchopt's runner: for tools and tests."""

import numpy as np

from benchmark_utils.running.rules import Rules


def put_at_start(solver, problem, seed=0, **rules):
    """Put a solver at the start of a problem, compiled.

    The start is drawn by a generator of ``seed`` itself. benchopt's runner draws it from the seed of the repetition
    and the word "init" (`Objective.get_objective`), so where the start is random it is another one than that of a run.

    Parameters
    ----------
    solver : BackendSolver
    problem : benchmark_utils.problem.problem.Problem
    seed : int
        Seed of the start and of every draw.
    **rules : object
        Fields of `Rules`; no limit where left out.

    Returns
    -------
    reason : str or None
        The sentence of a solver that declines the problem; it is then not at the start.
    """
    rules = Rules.read(**rules)
    skip, reason = solver.skip(problem=problem.view, rules=rules)
    if skip:
        return reason
    z0, x0 = problem.init(np.random.default_rng(seed))
    solver.set_objective(problem=problem.view, z0=z0, x0=x0, seed=seed, rules=rules)
    solver.pre_run_hook(None)
    return None
