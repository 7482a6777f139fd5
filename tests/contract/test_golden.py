"""Every solver computes what it computed when ``tests/golden`` was recorded: iterates, h, ledger.

`MOVED` and `compute` are the two places to change where files are split or the interface changes;
the recorded numbers stay.

A run takes the cases marked ``quick``: for each solver one problem and all words of its structure
by torch, for every second one a problem by jax. All: ``GOLDEN=all pytest tests/contract/test_golden.py``.
"""

import functools
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import helpers
from benchmark_utils.running.start import put_at_start

CASES_FILE = Path(__file__).parents[1] / "golden" / "cases.json"
ITERATES_FILE = CASES_FILE.with_name("iterates.npz")
CASES = json.loads(CASES_FILE.read_text(encoding="utf-8")) if CASES_FILE.exists() else []
TOLERANCE = 1e-12

#: Files that have been split since: (stem as recorded, ((parameter, value), ...) that select the
#: variant) -> (stem today, names of the parameters that it has no more). Where several entries
#: fit a case, the one with most parameters counts.
MOVED = {
    ("alset", (("variant", "warm_v"),)): ("alset_dagger", ("variant", "n_inner_steps", "n_neumann_steps")),
    ("alset", (("variant", "warm_v_full_inner"),)): (
        "alset_dagger_det", ("variant", "n_inner_steps", "n_neumann_steps"),
    ),
    ("biadam", (("variant", "VR-saBiAdam"),)): ("vr_biadam", ("variant",)),
    ("f2sa", (("variant", "F3SA"),)): ("f3sa", ("variant", "n_inner_steps")),
    ("pzobo", (("variant", "HOZOG"),)): ("hozog", ("variant",)),
    ("stable", (("variant", "vr"),)): ("stable_vr", ("variant",)),
}  # fmt: skip


#: Defaults that the recorded cases ran with and that are others today.
THEN = {
    "alset_dagger": {"outer_batch_size": "same"},
    "alset_dagger_det": {"outer_batch_size": "same"},
    "g_pbgd": {"step_scaling": "fixed"},
}


#: Beginnings of the names of cases that take a second and more.
DEAR = ("optuna-digits", "hoag-decrease", "stocbio-digits", "aid_bio-digits")


def today(stem, parameters):
    """Return the stem and the parameters under which a recorded case runs today."""
    if "growth_period" in parameters:  # its inverse is a parameter now
        rate = {"growth": 1 / parameters["growth_period"]}
        parameters = rate | {k: v for k, v in parameters.items() if k != "growth_period"}
    stem, parameters = moved(stem, parameters)
    return stem, THEN.get(stem, {}) | parameters


def moved(stem, parameters):
    """Return the stem and the parameters of a recorded case after its file has been split."""
    fits = [key for key in MOVED if key[0] == stem and set(key[1]) <= set(parameters.items())]
    if not fits:
        return stem, parameters
    stem, dropped = MOVED[max(fits, key=lambda key: len(key[1]))]
    return stem, {name: value for name, value in parameters.items() if name not in dropped}


def compute(case):
    """Run a case in float64 without limits of time.

    Parameters
    ----------
    case : dict
        Its keys ``solver``, ``problem``, ``backend``, ``parameters`` and ``n_iter`` are used.

    Returns
    -------
    result : dict
        ``declined`` with the sentence of a solver that declines, or the final ``z``, ``x``, ``h``,
        ``value`` (squared stationarity), ``ledger`` and ``n_iter``.
    """
    problem = helpers.dataset_problem(case["problem"])
    stem, parameters = today(case["solver"], case["parameters"])
    # Not `helpers.make_solver`: it leaves out what a solver does not know, here that is an error.
    cls = helpers.solver_classes()[stem]
    solver = cls.get_instance(backend=case["backend"], **parameters)
    start = problem.init(np.random.default_rng(0))  # where the recorded cases started
    reason = put_at_start(solver, problem, 0, start, precision="float64", max_iterations=case["n_iter"])
    if reason is not None:
        return dict(declined=reason)
    solver.run(lambda: True)
    result = solver.get_result()
    h, value = evaluate(problem, result["x"])
    return dict(
        z=result["z"], x=result["x"], h=h, value=value, ledger=list(helpers.counts(result)),
        n_iter=result["n_iter"],
    )  # fmt: skip


def evaluate(problem, x):
    """Return the columns ``h`` and ``value`` of the objective at x, from a cold start."""
    if not np.isfinite(x).all():
        return math.nan, math.nan
    objective = helpers.objective_class().get_instance()
    objective.set_data(problem)
    solution = objective._solve(x)
    return solution.h, objective._stationarity(x, solution.gradient)


@functools.cache
def iterates():
    """Return the recorded iterates."""
    return np.load(ITERATES_FILE)


def close(actual, recorded, name):
    """Assert that two arrays differ by at most 1e-12 of max(1, largest entry)."""
    scale = max(1.0, np.abs(recorded).max())
    assert_allclose(actual, recorded, rtol=TOLERANCE, atol=TOLERANCE * scale, err_msg=name)


def chosen():
    """Return the cases of this run."""
    if os.environ.get("GOLDEN") == "all":
        return CASES
    dear = lambda case: case["backend"] == "jax" or case["problem"] == "ijcnn1" or case["id"].startswith(DEAR)
    return [pytest.param(case, marks=[pytest.mark.slow] * dear(case)) for case in CASES if case["quick"]]


@pytest.mark.parametrize("case", chosen(), ids=lambda case: case["id"])
def test_same_numbers_as_recorded(case):
    result = compute(case)
    assert ("declined" in result) == ("declined" in case), result.get("declined")
    if "declined" in case:
        return
    assert result["n_iter"] == case["n_iter"]
    assert result["ledger"] == case["ledger"]
    for name in ("z", "x"):
        close(result[name], iterates()[f"{case['id']}/{name}"], name)
    for name in ("h", "value"):
        close(result[name], case[name], name)


def test_every_solver_is_recorded_on_every_problem():
    recorded = {(case["solver"], case["problem"], case["backend"]) for case in CASES}
    assert len({case["id"] for case in CASES}) == len(CASES)
    assert {problem for _, problem, _ in recorded} == {
        "simulated", "breast_cancer", "digits_cleaning", "ijcnn1",
    }  # fmt: skip
    for problem in ("simulated", "breast_cancer", "digits_cleaning", "ijcnn1"):
        on_both = {(s, b) for s, p, b in recorded if p == problem}
        assert len(on_both) == len({(s, b) for s, _, b in recorded}) == 2 * 33 + 3
