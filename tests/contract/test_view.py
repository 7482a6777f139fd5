"""A solver is handed what it may know of a problem, not its answer."""

import dataclasses
import types

import numpy as np
import pytest

import helpers
from benchmark_utils.problem.problem import LEVELS, Problem, View

ANSWERS = ("evaluator", "h_star", "splits", "metrics", "reference", "card", "gradient_mapping_step")


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("make", [helpers.small_quadratic, helpers.small_classes])
def test_the_view_has_no_answer(make, name):
    with pytest.raises(AttributeError):
        getattr(make().view, name)


def test_the_view_has_the_rows_of_both_levels_and_no_others():
    problem = helpers.dataset_problem("breast_cancer")
    assert set(problem.splits) > set(LEVELS.values()), "there are rows that solvers must not see"
    assert set(problem.view.rows) == set(LEVELS)
    for level, split in LEVELS.items():
        for name, array in problem.splits[split].items():
            assert problem.view.rows[level][name] is array, "each array exists once"
    assert problem.view is problem.view, "the same in every repetition"
    with pytest.raises(dataclasses.FrozenInstanceError):
        problem.view.name = "other"


#: What leads nowhere: arrays, text, classes, and the namespaces of the frameworks.
SKIPPED = (np.ndarray, str, bytes, type, types.ModuleType, types.SimpleNamespace)


def reachable(thing, depth, seen):
    """Yield the objects that a solver reaches through attributes, dicts and sequences."""
    if id(thing) in seen or depth == 0 or isinstance(thing, SKIPPED):
        return
    seen.add(id(thing))
    yield thing
    if isinstance(thing, dict):
        items = list(thing.values())
    elif isinstance(thing, (list, tuple)):
        items = list(thing)
    else:
        items = list(getattr(thing, "__dict__", {}).values())
    for item in items:
        yield from reachable(item, depth - 1, seen)


@pytest.mark.parametrize("file_stem", helpers.solver_classes())
def test_no_solver_reaches_the_problem_or_its_evaluator(file_stem):
    cls, problem = helpers.solver_classes()[file_stem], helpers.small_quadratic()
    backend = cls.parameters["backend"][-1]
    solver = helpers.make_solver(cls, problem, 1, precision="float64", backend=backend, batch_size=16)
    found = list(reachable(solver, 5, set()))
    assert any(isinstance(thing, View) for thing in found)
    assert not [thing for thing in found if isinstance(thing, Problem) or thing is problem.evaluator]
