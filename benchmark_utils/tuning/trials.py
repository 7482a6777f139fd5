"""Runs of many configurations of one solver: all at once in one program where that is possible."""

import math
import time

import numpy as np

from benchmark_utils.problem.namespace import xp
from benchmark_utils.running.rules import Rules
from benchmark_utils.running.run import begin, run
from benchmark_utils.running.search_space import Log
from benchmark_utils.running.solver import BilevelSolver
from benchmark_utils.running.start import put_at_start, start_point
from benchmark_utils.running.sweep import Member, Sweep
from benchmark_utils.tuning.protocol import Outcome


def score(problem, z, x):
    """Return h(x), validation at the exact z*(x), or F at the solver's own z where that is not known.

    Training and validation rows alone are looked at. What is not finite is infinite: the worst.
    """
    if not np.isfinite(x).all() or (z is not None and not np.isfinite(z).all()):
        return math.inf
    with np.errstate(all="ignore"):
        if problem.evaluator is not None:
            value = problem.evaluator.solve(x).h
        else:
            value = math.inf if z is None else problem.outer_value(xp, z, x)
    return float(value) if np.isfinite(value) else math.inf


def run_configurations(solver_class, problem, structure, configurations, protocol, given=None, seeds=None, sweeps=None):
    """Run configurations of one structure with several seeds.

    Parameters
    ----------
    solver_class : type
    problem : Problem
    structure : dict
        Integers and words of the search space.
    configurations : list of dict
        Numbers of the search space.
    protocol : Protocol
    given : dict, optional
        Parameters outside the search space (backend, batch size).
    seeds : list of int, optional
        Those of the protocol's trials where left out.
    sweeps : dict, optional
        Compiled programs of earlier calls with the same solver, problem and protocol, by structure; this call's is
        added.

    Returns
    -------
    list of Outcome
        In the order of the configurations.

    Raises
    ------
    ValueError
        With the sentence of a solver that declines the problem.
    """
    began = time.perf_counter()
    seeds, parameters = seeds or protocol.seeds(), structure | (given or {})
    if issubclass(solver_class, BilevelSolver):
        key, sweeps = tuple(sorted(structure.items())), {} if sweeps is None else sweeps
        if key not in sweeps:
            sweeps[key] = _sweep(solver_class, problem, parameters, protocol)
        ends = _together(sweeps[key], problem, configurations, seeds)
    else:
        ends = _one_by_one(solver_class, problem, parameters, configurations, protocol, seeds)
    seconds = (time.perf_counter() - began) / max(1, len(configurations))
    outcomes, n = [], len(seeds)
    for i, values in enumerate(configurations):
        mine = ends[i * n : (i + 1) * n]
        scores = [math.inf if diverged else score(problem, z, x) for z, x, _, diverged in mine]
        outcomes.append(Outcome(structure | values, scores, sum(samples for _, _, samples, _ in mine), seconds))
    return outcomes


def _rules(protocol):
    return dict(device=protocol.device, precision=protocol.precision, max_samples=protocol.max_samples)


def _sweep(solver_class, problem, parameters, protocol):
    """Return the `Sweep` of a structure."""
    solver, rules = solver_class.get_instance(**parameters), Rules.read(**_rules(protocol))
    skip, reason = solver.skip(problem.view, rules)
    if skip:
        raise ValueError(reason)
    return Sweep(solver, problem.view, rules, lambda seed: start_point(problem, seed))


def _together(sweep, problem, configurations, seeds):
    """Return (z, x, samples, diverged) of every run, from one vmapped program."""
    members = [Member(values, seed) for values in configurations for seed in seeds]
    own_z = problem.evaluator is None and problem.tasks is None
    flat = lambda a: np.asarray(a, np.float64).ravel()
    return [
        (flat(s.carry.z) if own_z else None, flat(s.carry.x), int(s.ledger.sum()), s.diverged)
        for s in sweep.run(members)
    ]


def _one_by_one(solver_class, problem, parameters, configurations, protocol, seeds):
    """Return (z, x, samples, diverged) of every run of a loop on the host."""
    out = []
    for values in configurations:
        solver = solver_class.get_instance(**parameters | values)
        for seed in seeds:
            reason = put_at_start(solver, problem, seed, **_rules(protocol))
            if reason is not None:
                raise ValueError(reason)
            state = run(solver.program, begin(solver.program), solver.rules, lambda state: True)
            last = solver.program.iterates(state)
            out.append((last["z"], last["x"], int(state.ledger.sum()), state.diverged))
    return out


def numbers_of(space, values):
    """Return (structure, numbers): the integers and words of a configuration, and its numbers."""
    numbers = {name: value for name, value in values.items() if isinstance(space[name], Log)}
    return {name: value for name, value in values.items() if name not in numbers}, numbers
