"""The problems made of digits: derivatives, projections, exact solutions, parameters."""

import importlib.util
import inspect
from pathlib import Path

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from benchmark_utils.backends import get_backend
from benchmark_utils.problem.namespace import xp
from benchmark_utils.problem.sets import Entries, NoisyImages, SpectralBall
from benchmark_utils.problem.variables import flatten, unflatten
from benchmark_utils.terms.equilibrium import Equilibrium, ReadOut
from benchmark_utils.terms.glm import GLM
from benchmark_utils.terms.last_layer import LastLayer
from benchmark_utils.terms.network import Network
from benchmark_utils.terms.penalties import Ridge
from benchmark_utils.terms.poisoned import Poisoned
from benchmark_utils.terms.scaled import Scaled

FRAMEWORKS = ("jax", "torch")


def data_set(stem, **parameters):
    """Return what ``get_data`` of a data set file gives."""
    path = Path(__file__).parents[2] / "datasets" / f"{stem}.py"
    spec = importlib.util.spec_from_file_location(f"data_set_{stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Dataset.get_instance(**parameters).get_data()


@pytest.fixture(scope="module")
def problems():
    """Return the problems with an evaluator, by name, small where that is quick."""
    return {
        "poisoned_digits": data_set("poisoned_digits")["problem"],
        "equilibrium_digits": data_set("equilibrium_digits")["problem"],
        "fewshot_digits": data_set("fewshot_digits", n_tasks=30)["problem"],
    }


EVALUATED = ("poisoned_digits", "equilibrium_digits", "fewshot_digits")


# ------------------------------------------------------------------------------- exact solutions
def off_the_start(problem, rng):
    """Return an x some way from the start."""
    x = problem.init(rng)[1]
    return x + 0.05 * rng.standard_normal(x.shape)


@pytest.mark.parametrize("name", EVALUATED)
def test_gradient_of_h_is_that_of_central_differences(problems, name):
    evaluator, rng = problems[name].evaluator, np.random.default_rng(1)
    x = off_the_start(problems[name], rng)
    solution = evaluator.solve(x)
    direction = rng.standard_normal(x.shape)
    direction += 0.3 * solution.gradient / np.linalg.norm(solution.gradient) * len(x) ** 0.5
    step = 3e-4
    h = [evaluator.solve(x + k * step * direction, solution).h for k in (-2, -1, 1, 2)]
    slope = (h[0] - 8 * h[1] + 8 * h[2] - h[3]) / (12 * step)
    assert_allclose(solution.gradient @ direction, slope, rtol=1e-6)


@pytest.mark.parametrize("name", EVALUATED)
def test_solution_solves_both_systems_and_does_not_depend_on_the_start(problems, name):
    problem, rng = problems[name], np.random.default_rng(2)
    x = off_the_start(problem, rng)
    near = problem.evaluator.solve(x + 0.01 * rng.standard_normal(x.shape))
    cold, warm = problem.evaluator.solve(x), problem.evaluator.solve(x, near)
    for one, other in zip(cold[:4], warm[:4], strict=True):
        assert_allclose(one, other, rtol=1e-8, atol=1e-10)
    tasks = problem.tasks is not None
    z, v = (unflatten(xp, a, problem.inner_shape, leading=tasks) for a in (cold.z, cold.v))
    shaped = unflatten(xp, x, problem.outer_shape)
    rows = {level: numbered(problem.rows(level)) for level in ("inner", "outer")}
    weights = {level: uniform(rows[level]) for level in rows}
    ask = lambda level, want: getattr(problem, level).derivatives(xp, want, z, shaped, v, rows[level], weights[level])
    lower, upper = ask("inner", {"grad_z", "hvp"}), ask("outer", {"grad_z", "value"})
    assert_allclose(lower["grad_z"], 0, atol=1e-11)
    assert_allclose(lower["hvp"] + upper["grad_z"], 0, atol=1e-11)
    assert_allclose(cold.h, upper["value"], rtol=1e-10)
    assert_allclose(problem.evaluator.outer_value(cold.z, x), upper["value"], rtol=1e-12)


@pytest.mark.parametrize("name", EVALUATED)
def test_an_x_out_of_range_gives_up_without_an_error(problems, name):
    x = problems[name].init(np.random.default_rng(0))[1]
    with np.errstate(all="ignore"):
        problems[name].evaluator.solve(np.full(x.shape, 1e200))
        assert np.isnan(problems[name].evaluator.solve(np.full(x.shape, np.inf)).h)


def test_a_projected_step_of_the_attack_harms_the_classifier(problems):
    problem = problems["poisoned_digits"]
    x = problem.init(np.random.default_rng(0))[1]
    start = problem.evaluator.solve(x)
    moved = (x - 1e4 * start.gradient).reshape(problem.outer_shape)
    moved = flatten(xp, problem.feasible_set.project(xp, moved, problem.feasible_arrays))
    end = problem.evaluator.solve(moved, start)
    before, after = (
        problem.metrics(at.z, where, at)["validation_error_exact"] for at, where in ((start, x), (end, moved))
    )
    assert end.h < start.h
    assert after > before


def numbered(rows):
    return rows | {"ids": np.arange(len(next(iter(rows.values()))))}


def uniform(rows):
    return np.full(len(rows["ids"]), 1 / len(rows["ids"]))


# -------------------------------------------------------------------------------- closed forms
def draw(rng, shape):
    """Draw a variable, an array or a dict of arrays."""
    if isinstance(shape, dict):
        return {name: 0.4 * rng.standard_normal(s) for name, s in shape.items()}
    return 0.4 * rng.standard_normal(shape)


def one_hot(rng, n, c):
    return np.eye(c)[rng.integers(0, c, n)]


def case(name):
    """Return (term, shape of z, shape of x, rows, whether z has one row a task)."""
    rng = np.random.default_rng(3)
    normal, b, k, c, s = rng.standard_normal, 7, 6, 4, 5
    labelled = {"features": normal((b, k)), "targets": one_hot(rng, b, c)}
    network = {"W1": (k, s), "b1": (s,), "W2": (s, c), "b2": (c,)}
    recurrent = {"A": (s, s), "B": (s, k), "c": (s,), "D": (c, s), "b": (c,)}
    ridge = Ridge(0.2)
    cases = {
        "poisoned": (Poisoned("multinomial", ridge, n_classes=c), (k, c), (3, k), labelled, False),
        "poisoned binary": (
            Poisoned("logistic"), (k,), (3, k),
            labelled | {"targets": rng.choice([-1.0, 1.0], b)}, False,
        ),
        "scaled": (
            Scaled(GLM("multinomial", ridge, n_classes=c), -2.0), (k, c), (3, k), labelled, False,
        ),
        "scaled read-out": (
            Scaled(ReadOut(), -1.0), (b, s), recurrent, {"targets": labelled["targets"]}, True,
        ),
        "equilibrium": (Equilibrium(), (b, s), recurrent, {"features": normal((b, k))}, True),
        "read-out": (ReadOut(), (b, s), recurrent, {"targets": labelled["targets"]}, True),
        "last layer": (
            LastLayer(0.3), (b, c, 3), network,
            {"images": normal((b, 4, k)), "targets": one_hot(rng, 4 * b, 3).reshape(b, 4, 3)},
            True,
        ),
        "network": (Network(0.1), network, (b,), labelled, False),
        "weighted network": (Network(0.1, weighted=True), network, (b,), labelled, False),
        "sigmoid network": (Network(0.1, weighted=True, units="sigmoid"), network, (b,), labelled, False),
    }  # fmt: skip
    term, z_shape, x_shape, rows, tasks = cases[name]
    ids = np.array([5, 2, 0, 1, 6, 3, 4])  # any order, as in a shuffled block
    weights = rng.random(b) / b
    rows = {key: np.asarray(array) for key, array in rows.items()} | {"ids": ids}
    return term, draw(rng, z_shape), draw(rng, x_shape), draw(rng, z_shape), rows, weights, tasks


CASES = (
    "poisoned", "poisoned binary", "scaled", "scaled read-out", "equilibrium", "read-out",
    "last layer", "network", "weighted network", "sigmoid network",
)  # fmt: skip


def in_jax(term, z, x, v, rows, weights, tasks):
    """Return the automatic derivatives of a term and its closed forms, both computed by JAX."""
    jnp = get_backend("jax", "cpu", "float64").xp

    @jax.jit
    def both(*arrays):
        closed = term.derivatives(jnp, term.closed_forms, *arrays)
        return differentiated(jnp, term, *arrays, tasks), closed

    return both(z, x, v, rows, weights)


def differentiated(jnp, term, z, x, v, rows, weights, tasks):
    values = lambda z, x: term.sample_values(jnp, z, x, rows)
    value = lambda z, x: term.value(jnp, z, x, rows, weights)
    total = (lambda z, x: values(z, x).sum()) if tasks else value
    residual = (lambda z, x: z - values(z, x)) if term.is_map else jax.grad(total)
    dot = lambda a, b: sum(jax.tree.leaves(jax.tree.map(lambda a, b: (a * b).sum(), a, b)))
    along = weights.reshape((-1, *[1] * (v.ndim - 1))) * v if tasks else v
    out = {
        "grad_z": residual(z, x),
        "hvp": jax.grad(lambda z: dot(residual(z, x), v))(z),
        "cross": jax.grad(lambda x: dot(residual(z, x), along))(x),
    }
    if not term.is_map:
        out |= {"value": value(z, x), "grad_x": jax.grad(value, 1)(z, x)}
    return out


#: Those whose derivatives JAX compiles in seconds.
LONG = ("poisoned", "poisoned binary", "scaled read-out", "last layer", "network", "weighted network",
        "sigmoid network")  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param(c, marks=pytest.mark.slow) if c in LONG else c for c in CASES])
def test_closed_forms_are_the_automatic_derivatives_in_every_namespace(name):
    term, z, x, v, rows, weights, tasks = case(name)
    expected, of_jax = in_jax(term, z, x, v, rows, weights, tasks)
    together = term.derivatives(xp, term.closed_forms, z, x, v, rows, weights)
    torch = get_backend("torch", "cpu", "float64")
    tensors = (in_torch(torch, tree) for tree in (z, x, v, rows, weights))
    of_torch = term.derivatives(torch.xp, term.closed_forms, *tensors)
    assert set(together) == term.closed_forms
    for quantity in term.closed_forms:
        alone = term.derivatives(xp, frozenset((quantity,)), z, x, v, rows, weights)
        for found in (together, alone, of_jax, of_torch):
            compare(found[quantity], expected[quantity], 1e-12)


def in_torch(backend, tree):
    if isinstance(tree, dict):
        return {name: backend.asarray(array) for name, array in tree.items()}
    return backend.asarray(tree)


def compare(found, expected, tolerance):
    """Assert that two arrays, or dicts of arrays, are equal up to ``tolerance``."""
    if isinstance(expected, dict):
        assert set(found) == set(expected)
        for key in expected:
            compare(found[key], expected[key], tolerance)
    else:
        assert_allclose(np.asarray(found), np.asarray(expected), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["equilibrium", "read-out", "last layer", "network"])
def test_derivatives_list_the_entries_of_a_variable_in_its_own_order(name):
    term, z, x, v, rows, weights, _ = case(name)
    out = term.derivatives(xp, term.closed_forms, z, x, v, rows, weights)
    for quantity, like in (("grad_z", z), ("hvp", z), ("grad_x", x), ("cross", x)):
        if quantity in out and isinstance(like, dict):
            assert list(out[quantity]) == list(like)


# --------------------------------------------------------------------------------- projections
def noise_and_images(n=40, pixels=16):
    """Return noise within and far outside the set, and images with black and white pixels."""
    rng = np.random.default_rng(4)
    images = np.clip(rng.uniform(-0.6, 1.6, (n, pixels)), 0, 1)
    noise = rng.standard_normal((n, pixels)) * np.geomspace(0.01, 100, n)[:, None]
    noise[0] = 0
    noise[1:3] = np.geomspace(0.01, 10, pixels)  # pixels of all sizes
    noise[2] *= -1
    return noise, images


def dykstra(noise, images, radius, sweeps=20000):
    """Project each row by Dykstra's alternating projections."""
    out = noise.copy()
    of_ball, of_box = np.zeros_like(out), np.zeros_like(out)
    for _ in range(sweeps):
        before = out
        moved = out + of_ball
        norm = np.linalg.norm(moved, axis=1, keepdims=True)
        ball = moved * np.minimum(1, radius / np.maximum(norm, 1e-300))
        of_ball = moved - ball
        moved = ball + of_box
        out = np.clip(moved, -images, 1 - images)
        of_box = moved - out
        if np.abs(out - before).max() < 1e-14 and np.abs(out - ball).max() < 1e-13:
            break
    return out


def test_projection_of_noise_is_dykstras():
    noise, images = noise_and_images()
    found = NoisyImages(0.8).project(xp, noise, {"images": images})
    assert_allclose(found, dykstra(noise, images, 0.8), atol=1e-10)


@pytest.mark.parametrize("framework", ["numpy", *FRAMEWORKS])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_projection_of_noise_is_feasible_and_idempotent(framework, precision):
    noise, images = (a.astype(precision) for a in noise_and_images())
    noise[1, 3] = 1e6  # one pixel far beyond the others
    namespace, put = xp, lambda a: a
    if framework != "numpy":
        backend = get_backend(framework, "cpu", precision)
        namespace, put = backend.xp, backend.asarray
    project = lambda x, images: NoisyImages(0.8).project(namespace, x, {"images": images})
    compiled = jax.jit(project) if framework == "jax" else project
    project = lambda x: compiled(put(x), put(images))
    once = np.asarray(project(noise))
    eps = np.finfo(precision).eps
    assert once.dtype == precision
    assert (np.linalg.norm(once.astype(float), axis=1) <= 0.8 * (1 + 4 * eps)).all()
    assert (images + once >= 0).all()
    assert (images + once <= 1).all()
    assert_allclose(np.asarray(project(once)), once, atol=2 * eps)
    exact = NoisyImages(0.8).project(xp, noise.astype(float), {"images": images.astype(float)})
    assert_allclose(once, exact, atol=30 * eps)


@pytest.mark.parametrize("framework", ["numpy", *FRAMEWORKS])
def test_projection_onto_the_spectral_ball_has_a_certificate(framework):
    rng, radius = np.random.default_rng(5), 0.5
    matrix, other = 0.3 * rng.standard_normal((8, 8)), rng.standard_normal(3)
    namespace, put = xp, lambda a: a
    if framework != "numpy":
        backend = get_backend(framework, "cpu", "float64")
        namespace, put = backend.xp, backend.asarray
    feasible = Entries((("A", SpectralBall(radius)),))
    project = lambda matrix: feasible.project(namespace, {"A": put(matrix), "b": put(other)}, {})
    moved = project(matrix)
    found = np.asarray(moved["A"])
    assert_array_equal(np.asarray(moved["b"]), other)
    assert np.linalg.norm(matrix, 2) > radius
    assert np.linalg.norm(found, 2) <= radius * (1 + 1e-14)
    assert_allclose(np.asarray(project(found)["A"]), found, atol=1e-14)
    # The largest <matrix - found, Q> over ‖Q‖_2 <= radius is attained by the projection alone.
    rest = matrix - found
    assert_allclose(np.sum(rest * found), radius * np.linalg.norm(rest, "nuc"), rtol=1e-10)


# ------------------------------------------------------------------------- arrays and parameters
def test_every_array_is_held_once(problems):
    for problem in problems.values():
        arrays = [array for rows in problem.splits.values() for array in rows.values()]
        for i, one in enumerate(arrays):
            assert not any(np.shares_memory(one, other) for other in arrays[:i])
        assert problem.check(xp) is None
    poisoned = problems["poisoned_digits"]
    assert np.shares_memory(poisoned.feasible_arrays["images"], poisoned.splits["train"]["features"])
    assert set(problems["equilibrium_digits"].splits["validation"]) == {"targets"}


def test_start_is_feasible(problems):
    for problem in problems.values():
        if problem.feasible_set is not None:
            x = problem.init(np.random.default_rng(6))[1]
            shaped = unflatten(xp, x, problem.outer_shape)
            moved = problem.feasible_set.project(xp, shaped, problem.feasible_arrays)
            assert_allclose(flatten(xp, moved), x, atol=1e-14)


def test_metrics_of_the_network_are_finite_without_a_solution():
    problem = data_set("network_cleaning")["problem"]
    z, x = problem.init(np.random.default_rng(7))
    out = problem.metrics(z, x, None)
    assert problem.evaluator is None
    assert np.isfinite(list(out.values())).all()
    assert out["weights_auc"] == 0.5


WRONG = [
    ("poisoned_digits", "poisoned", 0),
    ("poisoned_digits", "poisoned", 1.5),
    ("poisoned_digits", "radius", 0.0),
    ("poisoned_digits", "radius", float("inf")),
    ("poisoned_digits", "ridge", float("nan")),
    ("poisoned_digits", "seed", 0.5),
    ("equilibrium_digits", "states", 2.5),
    ("equilibrium_digits", "norm", 1.0),
    ("equilibrium_digits", "scale", "small"),
    ("equilibrium_digits", "warm", "yes"),
    ("equilibrium_digits", "seed", -1),
    ("fewshot_digits", "n_tasks", 0),
    ("fewshot_digits", "n_tasks", True),
    ("fewshot_digits", "shots", 1000),
    ("fewshot_digits", "queries", "many"),
    ("fewshot_digits", "units", None),
    ("fewshot_digits", "features", 0),
    ("fewshot_digits", "ridge", 0),
    ("network_cleaning", "corruption", 1),
    ("network_cleaning", "corruption", 1e-12),
    ("network_cleaning", "units", 0.5),
    ("network_cleaning", "ridge", -1.0),
]


@pytest.mark.parametrize(("name", "parameter", "value"), WRONG)
def test_a_wrong_parameter_gets_a_sentence(name, parameter, value):
    out = data_set(name, **{parameter: value})
    assert out["problem"] is None
    assert out["reason"].startswith(f"{parameter} is {value!r}")
    assert inspect.cleandoc(out["reason"]).endswith(".")
