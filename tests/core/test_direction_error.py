"""The error of an outer direction falls into parts that add up, and nothing of the run is touched to find them."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import helpers
from benchmark_utils.evaluation.split import PARTS, split
from benchmark_utils.oracles.oracles import FULL
from benchmark_utils.running import run as run_loop

CLASSES = helpers.solver_classes()

#: Every evaluator that has solutions without tasks.
PROBLEMS = {
    "quadratic": helpers.small_quadratic,
    "penalty of each feature, sparse": helpers.small_sparse,
    "penalty of each class": helpers.small_classes,
    "weighted rows": lambda: helpers.dataset_problem("digits_cleaning"),
    "moved rows": lambda: helpers.dataset_problem("poisoned_digits"),
    "automatic": lambda: helpers.load(helpers.ROOT / "datasets" / "template_problem.py").Dataset.get_instance()
    .get_data()["problem"],
}  # fmt: skip


def anywhere(problem):
    """Return x, d, z and v, none of them at a solution."""
    rng = np.random.default_rng(5)
    p, d = problem.inner_size, problem.outer_size
    _, x = problem.init(rng)
    return x + 0.1 * rng.standard_normal(d), rng.standard_normal(d), *(0.1 * rng.standard_normal((2, p)))


@pytest.mark.parametrize("name", PROBLEMS)
def test_evaluators_agree_with_the_oracles_anywhere(name):
    problem = PROBLEMS[name]()
    evaluator, oracles = problem.evaluator, helpers.make_oracles(problem, "torch", 16)
    x, _, z, v = anywhere(problem)
    on = [oracles.bk.asarray(a) for a in (z, x)]
    F_z, F_x = oracles.grad_outer(*on, FULL)
    product = lambda name, v: oracles.bk.to_numpy(getattr(oracles, name)(*on, oracles.bk.asarray(v), FULL))
    expected = product("cross", v) + oracles.bk.to_numpy(F_x)
    assert_allclose(evaluator.direction(z, v, x), expected, atol=1e-10 * abs(expected).max())
    F_z = oracles.bk.to_numpy(F_z)
    start = evaluator.solve(x)
    for near in (None, start):  # the linear system at z, not the one at z*
        left = product("hvp", evaluator.adjoint(z, x, near)) + F_z
        assert np.linalg.norm(left) < 1e-7 * np.linalg.norm(F_z)


@pytest.mark.parametrize("name", PROBLEMS)
def test_parts_add_up_and_vanish_where_they_must(name):
    problem = PROBLEMS[name]()
    evaluator = problem.evaluator
    x, d, z, v = anywhere(problem)
    exact = evaluator.solve(x)
    parts = split(evaluator, x, exact.gradient, d, z, v, exact)
    assert set(parts) == set(PARTS)
    assert all(value > 0 for value in parts.values())
    assert parts["gradient"] == np.linalg.norm(exact.gradient)
    assert parts["error"] == pytest.approx(np.linalg.norm(d - exact.gradient))
    assert parts["error"] <= parts["inner"] + parts["rest"]
    assert parts["rest"] <= parts["linear"] + parts["noise"]
    assert parts["inner"] <= parts["error"] + parts["rest"]

    scale = np.linalg.norm(d) + parts["gradient"]
    at_solution = split(evaluator, x, exact.gradient, d, exact.z, v, exact)
    assert at_solution["inner"] < 1e-7 * scale
    assert at_solution["error"] == pytest.approx(at_solution["rest"], rel=1e-6)
    v_star = evaluator.adjoint(z, x)
    assert split(evaluator, x, exact.gradient, d, z, v_star, exact)["linear"] < 1e-7 * scale
    used = evaluator.direction(z, v, x)
    assert split(evaluator, x, exact.gradient, used, z, v, exact)["noise"] == 0


def test_parts_of_the_quadratic_are_those_by_hand():
    problem = helpers.small_quadratic()
    e, (x, d, z, v) = problem.evaluator, anywhere(problem)
    D = lambda z, v: e.C @ v + e.B_F @ x + e.C_F @ z + e.e_F
    v_star = lambda z: -np.linalg.solve(e.A, e.A_F @ z + e.C_F.T @ x + e.c_F)
    z_star = -np.linalg.solve(e.A, e.C.T @ x + e.c)
    gradient = D(z_star, v_star(z_star))
    differences = {
        "gradient": gradient, "error": d - gradient, "inner": D(z, v_star(z)) - gradient,
        "linear": D(z, v) - D(z, v_star(z)), "noise": d - D(z, v), "rest": d - D(z, v_star(z)),
    }  # fmt: skip
    parts = split(e, x, e.solve(x).gradient, d, z, v)
    assert parts == pytest.approx({name: np.linalg.norm(a) for name, a in differences.items()})


def test_what_is_not_known_is_nan():
    problem = helpers.small_quadratic()
    x, d, z, _ = anywhere(problem)
    exact = problem.evaluator.solve(x).gradient
    known = lambda **of: {name for name, value in split(problem.evaluator, x, exact, **of).items() if value == value}
    assert known() == {"gradient"}
    assert known(d=d) == {"gradient", "error"}
    assert known(d=d, z=z) == {"gradient", "error", "inner", "rest"}


# ---------------------------------------------------------------------- what is overheard
def running(stem, n_iter, backend="torch", **parameters):
    """Return (solver with the rule `diagnose` after n_iter iterations, its run state)."""
    cls, problem = CLASSES[stem], helpers.small_quadratic()
    fixed = {name: value for name, value in cls.deterministic.items() if name != "limit"}
    solver = helpers.make_solver(
        cls, problem, 1000, precision="float64", backend=backend, rules={"diagnose": True}, **fixed | parameters
    )
    state = run_loop.begin(solver.program)
    if n_iter:
        state = run_loop.advance(solver.program, state, n_iter)
    return solver, state


def parts_of(solver, state):
    """Return the parts of the direction that is taken next."""
    evaluator, x = helpers.small_quadratic().evaluator, solver.bk.to_numpy(state.carry.x)
    exact = evaluator.solve(x)
    return split(evaluator, x, exact.gradient, **solver.program.next_direction(state), start=exact)


#: (file, backend) of methods that take z and v from the state, make them on the way, in loops and in branches, correct
#: them, keep tables.
KINDS = [(name, "torch") for name in (
    "soba", "amigo", "stocbio", "aid_cg", "fsla", "saba", "bsgm", "spaba", "sustain", "vrbo",
)] + [
    ("bsgm", "jax"), *(pytest.param(name, "jax", marks=pytest.mark.slow) for name in ("soba", "saba", "spaba", "fsla")),
]  # fmt: skip


@pytest.mark.parametrize(("method", "framework"), KINDS)
def test_a_first_direction_from_all_rows_has_no_noise(method, framework):
    parts = parts_of(*running(method, 0, framework, batch_size="full"))
    assert parts["noise"] < 1e-12 * parts["gradient"]
    assert parts["inner"] > 1e-3 * parts["gradient"], "z starts away from z*"
    assert parts["rest"] == pytest.approx(parts["linear"], abs=1e-12)


@pytest.mark.parametrize("method", ["sustain", "fsla", "srba"])
def test_points_of_the_iteration_before_are_not_heard(method):
    """Corrections ask for everything at old points too; from all rows they cancel and the direction is exact."""
    solver, state = running(method, 1, batch_size="full")
    assert not np.array_equal(*map(solver.bk.to_numpy, (state.carry.x, state.x_before)))
    parts = parts_of(solver, state)
    assert parts["noise"] < 1e-12 * parts["gradient"]


#: Methods of which something else is known than z and v; the others have them by the rule.
KNOWN = dict.fromkeys(("f2sa", "f3sa", "bome", "v_pbgd", "g_pbgd", "meha", "pbgd_free", "pzobo", "fdehbo"), {"z"})
KNOWN |= dict.fromkeys(("stable", "stable_vr", "itd_bio"), {"z"}) | dict.fromkeys(("hozog", "f2sa_p"), set())
KNOWN |= dict.fromkeys(("anil", "maml"), set())
LATE = ("ma_soba",)  # takes an average that does not know the point yet


@pytest.mark.slow
@pytest.mark.parametrize("method", [stem for stem, cls in CLASSES.items() if hasattr(cls, "direction_at")])
def test_what_is_overheard_is_what_the_direction_is_made_of(method):
    """The first direction from all rows is C v + grad_x F at the z and v that were heard, whatever the method."""
    solver, state = running(method, 0, batch_size="full")
    known = set(solver.program.next_direction(state)) - {"d"}
    assert known == KNOWN.get(method, {"z", "v"})
    parts = parts_of(solver, state)
    if "v" in known and method not in LATE:
        assert parts["noise"] < 1e-12 * parts["gradient"]
    if "z" in known:
        assert parts["error"] <= parts["inner"] + parts["rest"]


@pytest.mark.parametrize(("method", "framework"), [("soba", "jax"), ("saba", "torch"), ("stocbio", "torch")])
def test_the_direction_is_the_one_that_the_run_takes_next_and_the_run_stays_as_it_was(method, framework):
    solver, state = running(method, 7, framework, batch_size=16)
    taken = [solver.program.next_direction(state) for _ in range(2)]
    assert_array_equal(taken[0]["d"], taken[1]["d"])
    ledger = state.ledger.copy()
    state = run_loop.advance(solver.program, state, 1)
    assert_allclose(solver.program.iterates(state)["d_x"], taken[0]["d"], rtol=1e-12)

    other, alone = running(method, 7, framework, batch_size=16)
    alone = run_loop.advance(other.program, alone, 1)
    assert_array_equal(state.ledger, alone.ledger)
    assert (state.ledger > ledger).any()
    for name, array in solver.program.to_host(state.carry).items():
        assert_array_equal(array, other.program.to_host(alone.carry)[name], err_msg=name)


def test_mini_batches_make_noise_and_z_and_v_do_not_see_it():
    whole, state = running("soba", 0, batch_size="full")
    few, same = running("soba", 0, batch_size=16)
    a, b = parts_of(whole, state), parts_of(few, same)
    assert b["noise"] > 0.1 * b["gradient"]
    assert (a["inner"], a["linear"]) == pytest.approx((b["inner"], b["linear"]))


# ---------------------------------------------------------------------- rows
def row(stem, problem, diagnose):
    """Return the first row of a run."""
    objective = helpers.objective_class().get_instance(diagnose=diagnose)
    objective.set_data(problem)
    rules = {"diagnose": diagnose}
    solver = helpers.make_solver(CLASSES[stem], problem, 1, backend="torch", rules=rules, batch_size=4)
    solver.run_state = run_loop.begin(solver.program)
    return objective.evaluate_result(**solver.get_result())


def test_rows_say_it_where_they_are_asked_to():
    problem = helpers.small_quadratic()
    columns = {f"direction_{name}" for name in PARTS}
    assert not columns & set(row("soba", problem, False))
    found = row("soba", problem, True)
    assert all(type(found[name]) is float and math.isfinite(found[name]) for name in columns)


def test_rows_of_tasks_and_of_loops_on_the_host_know_the_gradient_alone():
    for stem, problem in (
        ("soba", helpers.dataset_problem("fewshot_digits", n_tasks=4)), ("hoag", helpers.small_quadratic()),
    ):  # fmt: skip
        found = row(stem, problem, True)
        finite = {name for name in PARTS if math.isfinite(found[f"direction_{name}"])}
        assert finite == {"gradient"}
