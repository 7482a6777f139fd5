"""Values in a run: the user's, the tuned one, or the start of the range; the seed's draws."""

import types

import numpy as np
import pytest
import yaml
from numpy.testing import assert_array_equal

import helpers
from benchmark_utils.running import search_space
from benchmark_utils.running.search_space import Int, Log, resolve


class Solver:
    """What `resolve` reads of a solver."""

    name = "Second"
    parameters = {"backend": ["jax"], "step_size": ["tuned"], "n_steps": ["tuned"], "period": [3]}
    search_space = {"step_size": Log(1e-4, 1e3, start=0.25), "n_steps": Int(1, 50, start=7)}


@pytest.fixture
def tuned(tmp_path, monkeypatch):
    """Write tuned values of one problem to a folder of their own."""
    solvers = {"First": {"step_size": 11.0, "n_steps": 13}, "Second": {"step_size": "2e-1"}}
    (tmp_path / "known.yml").write_text(yaml.safe_dump({"solvers": solvers}), encoding="utf-8")
    monkeypatch.setattr(search_space, "TUNED_FOLDER", tmp_path)
    search_space.tuned_values.cache_clear()
    yield
    search_space.tuned_values.cache_clear()


def values(problem_name="known", L=None, **given):
    """Return what `resolve` does with the defaults and what a user gave."""
    given = {name: value[0] for name, value in Solver.parameters.items()} | given
    return resolve(Solver, given, types.SimpleNamespace(name=problem_name, L=L))


def test_tuned_values_are_those_of_the_solver_and_the_problem(tuned):
    found, fallen_back = values()
    assert found == {"backend": "jax", "step_size": 0.2, "n_steps": 7, "period": 3}
    assert fallen_back == ["n_steps"]


def test_without_a_tuned_value_the_range_starts_where_it_says(tuned):
    found, fallen_back = values("unknown")
    assert (found["step_size"], found["n_steps"]) == (0.25, 7)
    assert fallen_back == ["step_size", "n_steps"]


@pytest.mark.parametrize(("L", "expected"), [(4.0, 0.25), (None, search_space.UNMEASURED), (1e-9, 1e3), (1e9, 1e-4)])
def test_a_start_that_follows_the_curvature_is_one_over_L_within_its_range(L, expected):
    space = Log(1e-4, 1e3, start=search_space.INVERSE_L)
    assert search_space.start_of(space, types.SimpleNamespace(L=L)) == expected


@pytest.mark.parametrize(("mu", "expected"), [(0.1, 0.095), (None, 1e-3), (-0.2, 1e-3), (30.0, 1.0), (1e-9, 1e-6)])
def test_a_start_below_the_strong_convexity_is_within_its_range(mu, expected):
    space = Log(1e-6, 1.0, start=search_space.BELOW_MU)
    assert search_space.start_of(space, types.SimpleNamespace(mu=mu)) == expected


@pytest.mark.parametrize("mu", np.geomspace(1e-4, 1, 57))
def test_a_start_below_the_strong_convexity_stays_below_it_when_it_is_rounded(mu):
    start = search_space.start_of(Log(1e-6, 1.0, start=search_space.BELOW_MU), types.SimpleNamespace(mu=mu))
    assert 0.9 * mu <= start <= mu


def test_what_the_user_gives_counts(tuned):
    found, fallen_back = values(step_size="1e-3", n_steps=2)
    assert (found["step_size"], found["n_steps"]) == (0.001, 2)
    assert fallen_back == []


def test_repetitions_draw_with_their_own_seeds(backend):
    problem, cls = helpers.small_quadratic(), helpers.solver_classes()["soba"]
    common = dict(precision="float64", backend=backend, batch_size=16)
    solver = helpers.make_solver(cls, problem, 5, **common)
    found = []
    for seed in (0, 1, 0):
        helpers.at_start(solver, problem, seed, **solver.rules._asdict())
        solver.run(lambda: True)
        found.append(solver.get_result()["x"])
    assert np.abs(found[0] - found[1]).max() > 1e-6
    assert_array_equal(found[2], found[0])
