"""Properties of every solver written as a step function; a new file in solvers/ is tested without a new line here.

A solver states in ``deterministic`` how it behaves with full batches on a strongly convex quadratic: ``limit`` is
"exact" (x tends to argmin h), "neumann" (x tends to the zero of the direction with a truncated series), "hia" (the
direction has that zero on average over random lengths; checked in test_random_lengths.py), or a sentence saying why
none applies; the other keys are parameters of the run. Their steps are used on the other small problems too: the
defaults of a file are those of a real data set, where some methods take steps that are unstable on a quadratic.
"""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import helpers
from benchmark_utils.running.rules import Rules
from benchmark_utils.running.search_space import Log
from helpers import (
    PROBLEMS,
    ROOT,
    assert_agree,
    compiled,
    make_solver,
    run,
    small_quadratic,
    stated_steps,
    step_solvers,
)

LIMIT_ITERATIONS = 4000


def differs(cls, backend, problem):
    """Skip where a solver says it cannot run on this backend or problem."""
    reason = helpers.why_skipped(cls, problem, backend=backend, batch_size=16)
    if reason is not None:
        pytest.skip(reason)


# On the quadratic; on the others, whose programs take longer to compile, among the slow tests.
@pytest.mark.parametrize(
    "problem_of_size",
    [name if name == "simulated" else pytest.param(name, marks=pytest.mark.slow) for name in PROBLEMS],
)
def test_trajectories_agree_between_backends(solver_class, problem_of_size):
    problem = PROBLEMS[problem_of_size]()
    for backend in ("jax", "torch"):
        differs(solver_class, backend, problem)
    common = dict(precision="float64", batch_size=16) | stated_steps(solver_class)
    a, b = (run(solver_class, problem, 100, backend=backend, **common) for backend in ("jax", "torch"))
    assert_agree(a, b, atol=1e-9, scaled=True)
    assert a["n_iter"] == 100
    assert np.abs(a["x"] - problem.init(np.random.default_rng(0))[1]).max() > 0, "x did not move"


@pytest.mark.slow
@pytest.mark.parametrize("make", [helpers.small_sparse, helpers.small_classes])
def test_every_solver_agrees_between_backends_on_sparse_rows_and_class_penalties(solver_class, make):
    """The matrix of solvers and backends on small problems built like newsgroups20 and covtype."""
    problem = make()
    results = []
    for backend in ("jax", "torch"):
        differs(solver_class, backend, problem)
        common = dict(batch_size=16) | stated_steps(solver_class)
        results.append(run(solver_class, problem, 5, backend=backend, **common))
    a, b = results
    assert all(np.isfinite(a[name]).all() for name in ("z", "x", "d_x"))
    assert_agree(a, b, atol=1e-9, scaled=True)


def test_run_does_not_depend_on_how_it_is_cut(solver_class, backend, monkeypatch):
    problem = small_quadratic()
    differs(solver_class, backend, problem)
    common = dict(precision="float64", backend=backend, batch_size=16) | stated_steps(solver_class)
    whole = run(solver_class, problem, 40, **common)
    solver = compiled(solver_class, problem, 40, **common)
    monkeypatch.setattr(solver.program, "longest", 3)
    solver.run(lambda: True)
    assert_agree(whole, solver.get_result(), rtol=1e-12, atol=1e-12)


def test_second_repetition_neither_compiles_nor_remembers(solver_class, backend, monkeypatch):
    problem = small_quadratic()
    differs(solver_class, backend, problem)
    common = dict(precision="float64", backend=backend, batch_size=16) | stated_steps(solver_class)
    solver = compiled(solver_class, problem, 20, **common)
    solver.run(lambda: True)
    first = solver.get_result()
    program = solver.program._advance
    for method in ("compile_chunk", "compile_once"):
        monkeypatch.setattr(solver.bk, method, lambda *_, **__: pytest.fail("compiled again"))
    helpers.at_start(solver, problem, **solver.rules._asdict())
    solver.run(lambda: True)
    assert solver.program._advance is program
    assert_agree(first, solver.get_result())


@pytest.mark.slow
def test_step_sizes_are_traced_leaves_of_one_program(solver_class, monkeypatch):
    problem = small_quadratic()
    differs(solver_class, "jax", problem)
    if not isinstance(solver_class.search_space.get("step_size"), Log):
        pytest.skip("has no step size")
    common = dict(precision="float64", backend="jax", batch_size=16) | stated_steps(solver_class)
    first = run(solver_class, problem, 20, **common)
    solver = compiled(solver_class, problem, 20, **common)
    for method in ("compile_chunk", "compile_once"):
        monkeypatch.setattr(solver.bk, method, lambda *_, **__: pytest.fail("compiled again"))
    half = solver.bk.scalar(0.5 * solver.step_size)
    monkeypatch.setattr(solver.program, "hp", solver.program.hp._replace(step_size=half))
    solver.run(lambda: True)
    smaller = solver.get_result()
    eager = run(solver_class, problem, 20, **common | {"backend": "torch", "step_size": 0.5 * solver.step_size})
    assert_agree(smaller, eager, atol=1e-9, scaled=True)
    assert np.abs(smaller["x"] - first["x"]).max() > 0


def dtypes_by_torch(solver_class, precision):
    """Return the State after three iterations."""
    solver = compiled(
        solver_class, small_quadratic(), 3, precision=precision, backend="torch", batch_size=16,
        **stated_steps(solver_class),
    )  # fmt: skip
    solver.run(lambda: True)
    return solver.run_state.carry


def dtypes_by_jax(solver_class, precision):
    """Return the State after an iteration that has been traced, not compiled: that takes a second for each."""
    solver, problem = solver_class.get_instance(backend="jax", batch_size=16), small_quadratic()
    rules = Rules(precision=precision)
    assert solver.skip(problem.view, rules) == (False, None)
    solver.set_objective(problem.view, *problem.init(np.random.default_rng(0)), 0, rules)
    program = solver.program
    z0, x0 = map(solver.bk.asarray, (program.z0, program.x0))
    state, _ = jax.eval_shape(program.counted_init, z0, x0, program.data)
    draws = jax.tree.map(lambda a: a[0], program.take(program.streams(), 1))
    return jax.eval_shape(program.counted_step, state, program.hp, program.data, draws)[0]


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_dtype_is_kept(solver_class, backend, precision):
    differs(solver_class, backend, small_quadratic())
    after = (dtypes_by_jax if backend == "jax" else dtypes_by_torch)(solver_class, precision)
    for name, value in after._asdict().items():
        dtype = str(getattr(value, "dtype", "int")).removeprefix("torch.")
        assert dtype == precision or "int" in dtype or "bool" in dtype, f"{name} is {dtype}"


def test_full_batches_reach_the_known_limit(solver_class):
    stated = dict(solver_class.deterministic)
    limit, problem = stated.pop("limit"), small_quadratic()
    if limit == "hia":
        pytest.skip("the average over random lengths is enumerated in test_random_lengths.py")
    if limit not in ("exact", "neumann"):
        pytest.skip(limit)
    n_iter = stated.pop("n_iter", LIMIT_ITERATIONS)
    parameters = dict(batch_size="full", backend="jax") | stated
    result = run(solver_class, problem, n_iter, **parameters)
    reference = problem.evaluator
    if limit == "exact":
        assert_allclose(result["x"], reference.minimiser(), rtol=0, atol=1e-8)
        assert_allclose(result["z"], reference.solve(result["x"]).z, rtol=0, atol=1e-8)
    elif limit == "neumann":
        solver = make_solver(solver_class, problem, 1, **parameters)
        expected = helpers.biased_minimiser(reference, solver.neumann_step, solver.n_neumann_steps + 1)
        assert np.abs(expected - reference.minimiser()).max() > 1e-3, "the bias is too small for the test to tell"
        assert_allclose(result["x"], expected, rtol=0, atol=1e-8)


#: Iterations over which backends are compared; BOME's multiplier divides by ‖grad q‖^2, which vanishes at the solution:
#: rounding grows there from 1e-15 after 100 iterations to 1e-3 after 200.
COMPARED = {"BOME": 100}


@pytest.mark.slow
def test_full_batches_agree_between_backends(solver_class):
    n_iter = COMPARED.get(solver_class.name, 200)
    stated = {name: value for name, value in solver_class.deterministic.items() if name not in ("limit", "n_iter")}
    for backend in ("jax", "torch"):
        differs(solver_class, backend, small_quadratic())
    a, b = (
        run(solver_class, small_quadratic(), n_iter, backend=backend, **dict(batch_size="full") | stated)
        for backend in ("jax", "torch")
    )
    assert_agree(a, b, atol=1e-9, scaled=True)


def test_solver_file_states_what_the_contract_asks(stem, solver_class):
    text = (ROOT / "solvers" / f"{stem}.py").read_text(encoding="utf-8")
    assert "Differs from the paper\n" in solver_class.__doc__ or stem.startswith("template")
    assert len(text.splitlines()) <= 150
    assert solver_class.references
    assert helpers.resolved(solver_class, batch_size=16).required()
    assert set(solver_class.search_space) <= set(solver_class.parameters)
    assert all(solver_class.parameters[name] == ["tuned"] for name in solver_class.search_space)
    assert list(solver_class.parameters)[:2] == ["backend", "batch_size"]
    assert not {"device", "precision"} & set(solver_class.parameters), "rules of the race"
    assert solver_class.parameters["backend"] == ["jax", "torch"] or "backend" in solver_class.__doc__
    assert isinstance(solver_class.deterministic["limit"], str)


def test_solvers_are_found():
    assert {"soba", "saba", "stocbio", "amigo"} <= set(step_solvers())
