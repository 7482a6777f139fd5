"""The start of a run, and a solver put there without benchopt's runner: for tools and tests."""

import zlib

import numpy as np

from benchmark_utils.running.rules import Rules


def start_point(problem, seed):
    """Return (z0, x0), float64 vectors, at which the run with this seed starts: the same for every solver."""
    return problem.init(np.random.default_rng([seed, zlib.crc32(b"init")]))


def put_at_start(solver, problem, seed=0, start=None, **rules):
    """Put a solver at the start of a problem, compiled, as benchopt's runner would.

    Parameters
    ----------
    solver : BackendSolver
    problem : benchmark_utils.problem.problem.Problem
    seed : int
        Seed of the repetition: of the start and of every draw.
    start : tuple, optional
        Another start (z0, x0).
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
    z0, x0 = start_point(problem, seed) if start is None else start
    solver.set_objective(problem=problem.view, z0=z0, x0=x0, seed=seed, rules=rules)
    solver.pre_run_hook(None)
    return None
