"""Members of a sweep that have ended, or diverged, stay as they are while the others go on."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import helpers
from benchmark_utils.backends.jax.members import fields_in_common
from benchmark_utils.running.rules import Rules
from benchmark_utils.running.start import start_point
from benchmark_utils.running.sweep import Group, Member, Sweep

SOBA = helpers.solver_classes()["soba"]
GOOD, BAD = ({"step_size": step, "outer_ratio": 2.0} for step in (0.1, 60.0))


def both_ways(members, backend, batch_size, **rules):
    """Return the last states of a sweep, the results of single runs, and the rows of the sweep."""
    problem, rows = helpers.small_quadratic(), []
    parameters = dict(backend=backend, batch_size=batch_size, schedule="constant")
    solver = SOBA.get_instance(**parameters)
    assert solver.skip(problem=problem.view, rules=Rules(**rules)) == (False, None)
    start = lambda seed: start_point(problem, seed)
    sweep = Sweep(solver, problem.view, Rules(**rules), start)
    states = sweep.run(members, lambda i, state: rows.append((i, state.n_iter)))
    singles = []
    for member in members:
        single = SOBA.get_instance(**parameters, **member.values)
        helpers.at_start(single, problem, member.seed, **rules)
        single.run(lambda: True)
        singles.append(single.get_result())
    return states, singles, rows


@pytest.mark.parametrize("batch_size", [16, "full"])
def test_a_member_that_diverges_counts_nothing_more_and_says_so(batch_size, backend):
    members = [Member(GOOD, 0), Member(BAD, 0), Member(GOOD, 1)]
    states, singles, rows = both_ways(members, backend, batch_size, max_iterations=100)
    assert [s.status for s in states] == ["running", "diverged", "running"]
    assert [s.n_iter for s in states] == [100, singles[1]["n_iter"], 100]
    assert states[1].n_iter < 50
    for state, single in zip(states, singles, strict=True):
        assert state.counts() == single["counts"]
        assert state.diverged == single["diverged"]
        assert_allclose(state.x_before, single["x_before"], rtol=1e-3, err_msg="moved after its end")
        if not state.diverged:
            assert_allclose(state.carry.x, single["x"], rtol=0, atol=1e-5)
    assert max(n for i, n in rows if i == 1) == states[1].n_iter


def test_a_member_whose_budget_is_spent_stays_where_it_is(backend):
    """Ragged blocks: members of different seeds spend their samples after different iterations."""
    members = [Member(GOOD, seed) for seed in range(4)]
    rules = dict(precision="float64", max_samples=4000)
    states, singles, _ = both_ways(members, backend, 16, **rules)
    assert len({s.n_iter for s in states}) > 1, "all end together"
    for state, single in zip(states, singles, strict=True):
        assert (state.n_iter, state.counts()) == (single["n_iter"], single["counts"])
        for name in ("z", "x"):
            assert_allclose(getattr(state.carry, name), single[name], rtol=0, atol=1e-11)
        assert_array_equal(np.shape(state.x_before), single["x_before"].shape)
        assert_allclose(state.x_before, single["x_before"], rtol=0, atol=1e-11)


@pytest.mark.parametrize("batch_size", [16, "full"])
def test_a_member_set_aside_stays_while_its_place_goes_on(batch_size, backend):
    problem, rules = helpers.small_quadratic(), Rules(precision="float64")
    solver = SOBA.get_instance(backend=backend, batch_size=batch_size)
    assert solver.skip(problem=problem.view, rules=rules) == (False, None)
    start = lambda seed: start_point(problem, seed)
    program = Sweep(solver, problem.view, rules, start).program
    group = Group(program, [Member(GOOD, 0), Member(GOOD, 0)], start, {})
    states = group.advance(group.first_states(), [0, 1], 2)
    before = group.on_host(states, [0, 1])
    group.set_aside([1])
    states = group.advance(states, [0], 3)
    after = group.on_host(states, [0, 1])
    assert [s.n_iter for s in after] == [5, 2]
    assert after[1].counts() == before[1].counts()
    for name in ("z", "x"):
        assert_array_equal(getattr(after[1].carry, name), getattr(before[1].carry, name))
        assert np.abs(getattr(after[0].carry, name) - getattr(before[0].carry, name)).max() > 0
    assert_array_equal(after[1].x_before, before[1].x_before)


def test_members_of_a_sweep_come_back_in_their_order(backend):
    """Seeds run one after the other, whatever the order of the list."""
    steps = (0.1, 0.05, 0.02)
    members = [Member({"step_size": step, "outer_ratio": 2.0}, seed) for step in steps for seed in (3, 0)]
    states, singles, rows = both_ways(members, backend, 16, precision="float64", max_iterations=5)
    for state, single in zip(states, singles, strict=True):
        assert_allclose(state.carry.x, single["x"], rtol=0, atol=1e-11)
    assert sorted({i for i, _ in rows}) == list(range(6))


def test_jax_takes_counters_once_for_all_members():
    """A full pass every few iterations would else be a branch for each member, taken by all at every iteration."""
    cls, problem, rules = helpers.solver_classes()["srba"], helpers.small_quadratic(), Rules(precision="float64")
    solver = cls.get_instance(backend="jax", batch_size=16)
    assert solver.skip(problem=problem.view, rules=rules) == (False, None)
    program = Sweep(solver, problem.view, rules, lambda seed: start_point(problem, seed)).program
    group = Group(program, [Member({}, 0)], lambda seed: start_point(problem, seed), {})
    group.first_states()
    member = lambda tree: type(tree)(*(a[0] for a in tree))
    draws = program.draws_type(**{role: a[0] for role, a in group.streams.take(1).items()})
    same = fields_in_common(program.counted_step, member(group.carry), member(group.hp), program.data, draws)
    assert dict(zip(group.carry._fields, same, strict=True))["t"]
    assert sum(same) == 1


def test_any_number_of_members_ends_where_single_runs_do(backend):
    members = [*(Member({**GOOD, "step_size": step}, 0) for step in (0.1, 0.08, 0.06, 0.04)), Member(BAD, 0)]
    for some in (members, members[2:]):
        states, singles, rows = both_ways(some, backend, 16, precision="float64", max_iterations=300)
        assert [s.status for s in states] == ["running"] * (len(some) - 1) + ["diverged"]
        assert {i for i, _ in rows} == set(range(len(some)))
        for state, single in zip(states, singles, strict=True):
            assert (state.n_iter, state.counts()) == (single["n_iter"], single["counts"])
            if not state.diverged:
                assert_allclose(state.carry.x, single["x"], rtol=0, atol=1e-11)
