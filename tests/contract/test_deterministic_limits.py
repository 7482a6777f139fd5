"""What the deterministic and the penalty methods must equal in the limit.

Everything here runs in float64 on a strongly convex quadratic with known matrices, or on a small logistic problem
where H and C change along the inner loop.
"""

import dataclasses
import itertools
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose

import helpers
from benchmark_utils.formulas.finite_differences import first_derivative
from benchmark_utils.formulas.steps import noisy_levels
from benchmark_utils.oracles.blocks import Partition
from benchmark_utils.oracles.draws import DrawStreams
from helpers import fixed_point_problem

# ---------------------------------------------------------------------- hypergradients of one outer iteration


def direction(stem, problem, z0=None, x0=None, backend="jax", seed=0, **parameters):
    """Return d_x of the first outer iteration from (z0, x0)."""
    parameters = {"batch_size": "full", "precision": "float64", "backend": backend} | parameters
    solver = helpers.make_solver(helpers.solver_classes()[stem], problem, 1, seed=seed, **parameters)
    start = problem.init(np.random.default_rng(seed))
    start = (start[0] if z0 is None else z0, start[1] if x0 is None else x0)
    solver.set_objective(problem=problem.view, z0=start[0], x0=start[1], seed=seed, rules=solver.rules)
    solver.run(lambda: True)
    return solver.get_result()["d_x"]


@pytest.mark.parametrize("n", [1, 5])
def test_aid_fp_is_the_neumann_series_with_one_product_less(n, backend):
    problem, common = helpers.dataset_problem("breast_cancer"), dict(step_size=0.1, n_inner_steps=3, backend=backend)
    z0 = np.linspace(-1, 1, 30)
    fp = direction("aid_fp", problem, z0, n_linear_steps=n, **common)
    neumann = direction("aid_neumann", problem, z0, n_neumann_steps=n - 1, neumann_step=0.1, **common)
    assert np.abs(fp).max() > 1e-6
    assert_allclose(fp, neumann, rtol=1e-12)


def unrolled_gradient(problem, z0, x0, alpha, T, K):
    """Return the gradient of F(z_T(x), x) by automatic differentiation, z_{T-K} taken as constant."""
    import jax
    import jax.numpy as jnp

    if problem.name == "simulated":
        r = problem.evaluator
        G = lambda z, x: 0.5 * z @ r.A @ z + 0.5 * x @ r.B @ x + x @ r.C @ z + r.c @ z + r.e @ x
        F = lambda z, x: 0.5 * z @ r.A_F @ z + 0.5 * x @ r.B_F @ x + x @ r.C_F @ z + r.c_F @ z + r.e_F @ x
    else:
        (A, y), (B, t) = (
            (rows["features"], rows["targets"]) for rows in (problem.rows("inner"), problem.rows("outer"))
        )
        G = lambda z, x: jnp.mean(jnp.logaddexp(0, -y * (A @ z))) + 0.5 * jnp.sum(jnp.exp(x) * z * z)
        F = lambda z, x: jnp.mean(jnp.logaddexp(0, -t * (B @ z)))

    def loss(x):
        z = z0
        for t in range(T):
            z = jax.lax.stop_gradient(z) if t == T - K else z
            z = z - alpha * jax.grad(G)(z, x)
        return F(jax.lax.stop_gradient(z) if K == 0 else z, x)

    jax.config.update("jax_enable_x64", True)
    return np.array(jax.jit(jax.grad(loss))(jnp.asarray(x0)))


UNROLLED = {"simulated": helpers.small_quadratic, "breast_cancer": lambda: helpers.dataset_problem("breast_cancer")}


@pytest.mark.parametrize("truncation", ["none", 0, 1, 3])
@pytest.mark.parametrize("name", UNROLLED)
def test_reverse_mode_equals_automatic_differentiation_of_the_unrolled_loop(name, truncation, backend):
    problem, alpha, T = UNROLLED[name](), 0.3, 7
    if truncation == 0 and not problem.outer.uses_x:
        reason = helpers.why_skipped(helpers.step_solvers()["itd_bio"], problem, truncation=0)
        assert "F of breast_cancer does not depend on x" in reason
        return
    rng = np.random.default_rng(0)
    z0, x0 = rng.standard_normal(problem.inner_size), rng.standard_normal(problem.outer_size) - 2
    ours = direction(
        "itd_bio", problem, z0, x0, n_inner_steps=T, truncation=truncation, step_size=alpha, backend=backend
    )
    K = T if truncation == "none" else truncation
    expected = unrolled_gradient(problem, z0, x0, alpha, T, K)
    assert_allclose(ours, expected, rtol=0, atol=1e-13)
    if K < T:
        full = unrolled_gradient(problem, z0, x0, alpha, T, T)
        assert np.abs(full - expected).max() > 1e-4, "the truncation must matter"


def test_truncated_reverse_mode_equals_fixed_point_once_the_inner_loop_has_converged(backend):
    problem = helpers.dataset_problem("breast_cancer")
    x0 = np.linspace(-3, -1, 30)
    z_star = problem.evaluator.solve(x0).z
    common = dict(step_size=0.2, n_inner_steps=6, backend=backend)
    krmd = direction("itd_bio", problem, z_star, x0, truncation=4, **common)
    fp = direction("aid_fp", problem, z_star, x0, n_linear_steps=4, **common)
    assert_allclose(krmd, fp, rtol=0, atol=1e-12)
    assert np.abs(krmd - direction("aid_fp", problem, z_star, x0, n_linear_steps=5, **common)).max() > 1e-6


@pytest.mark.parametrize("method", ["aid_bio", "aid_cg", "aid_fp", "aid_neumann", "itd_bio", "ba"])
def test_long_loops_give_the_exact_hypergradient(method, backend):
    problem = helpers.small_quadratic()
    exact = problem.evaluator.solve(problem.init(None)[1]).gradient
    n = dict(n_inner_steps=25, n_linear_steps=25, n_neumann_steps=25, step_size=4 / 3, neumann_step=4 / 3)
    assert_allclose(direction(method, problem, backend=backend, **n), exact, rtol=0, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["aid_cg", "aid_fp", "aid_neumann", "itd_bio", "ba", "pzobo", "hozog"])
def test_cold_starts_forget_the_start_and_warm_ones_do_not(method):
    problem, short = helpers.small_quadratic(), dict(n_inner_steps=2, n_directions=2)
    for warm_start in ("none", "z"):
        a, b = (direction(method, problem, z0, warm_start=warm_start, **short) for z0 in (np.ones(6), -np.ones(6)))
        assert (np.abs(a - b).max() > 1e-2) == (warm_start == "z")


@pytest.mark.parametrize("method", ["aid_fp", "aid_neumann", "itd_bio", "ba"])
def test_fixed_point_problems_with_a_non_symmetric_jacobian(method, backend):
    problem = fixed_point_problem()
    arrays, F = problem.rows("inner"), problem.rows("outer")
    m = F["a"].shape[0]
    K = np.linalg.inv(np.eye(5) - arrays["left"].T @ arrays["right"] / 32)  # z* = K (x + shift)
    x0 = np.linspace(-1, 1, 5)
    z = K @ (x0 + arrays["shift"].mean(0))
    F_z = F["a"].T @ (F["a"] @ z) / m + F["s"].T @ (F["r"] @ x0) / m + F["c"].mean(0)
    F_x = F["b"].T @ (F["b"] @ x0) / m + F["r"].T @ (F["s"] @ z) / m + F["e"].mean(0)
    n = dict(n_inner_steps=60, n_linear_steps=60, n_neumann_steps=60, max_steps=60, step_size=1.0, neumann_step=1.0)
    ours = direction(method, problem, x0=x0, backend=backend, **n)
    assert_allclose(ours, F_x + K.T @ F_z, rtol=0, atol=1e-10)
    assert np.abs(K.T @ F_z - K @ F_z).max() > 1e-2, "the transpose must matter"


def test_methods_that_need_symmetry_or_the_value_of_G_refuse_fixed_points():
    for stem in ("aid_bio", "aid_cg", "f2sa", "f3sa", "bome", "v_pbgd"):
        reason = helpers.why_skipped(helpers.solver_classes()[stem], fixed_point_problem(), batch_size=8)
        assert "which contraction does not offer" in reason


# ---------------------------------------------------------------------- zeroth order


def total_gradient(problem, common):
    """Return (grad_x F at the end of the loop, gradient of F(z_T(x), x)) on the quadratic."""
    r, (z, x) = problem.evaluator, problem.init(None)
    for _ in range(common["n_inner_steps"]):
        z = z - common["step_size"] * (r.A @ z + r.C.T @ x + r.c)
    return r.B_F @ x + r.C_F @ z + r.e_F, direction("itd_bio", problem, **common)


@pytest.mark.parametrize("which", ["pzobo", "hozog"])
def test_zeroth_order_direction_is_the_projected_unrolled_gradient(which, backend):
    problem, common = helpers.small_quadratic(), dict(n_inner_steps=4, step_size=0.5, backend=backend)
    F_x, total = total_gradient(problem, common)
    streams = DrawStreams(
        {"u": helpers.make_solver(helpers.solver_classes()[which], problem, 1, n_directions=3).plan["u"]}, {}, seed=0
    )
    U = streams.take(1)["u"][0]
    expected = F_x + U.T @ (U @ (total - F_x)) / 3 if which == "pzobo" else U.T @ (U @ total) / 3
    errors = []
    for mu in (1e-2, 1e-4):
        ours = direction(which, problem, n_directions=3, smoothing=mu, **common)
        errors.append(np.abs(ours - expected).max())
    # The unrolled loop is affine on a quadratic, so PZOBO has no error; that of HOZOG is mu / 2 u.(h'' u) u.
    assert errors[1] < (1e-9 if which == "pzobo" else 1e-2 * 1.1 * errors[0])
    assert errors[0] < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("which", ["pzobo", "hozog"])
def test_average_over_directions_is_the_unrolled_gradient(which):
    problem, common, M = helpers.small_quadratic(), dict(n_inner_steps=4, step_size=0.5), 10_000
    F_x, total = total_gradient(problem, common)
    mean = direction(which, problem, n_directions=M, smoothing=1e-4, **common)
    # u (u.g) has mean g and coordinate variances ‖g‖^2 + g_i^2; five standard deviations of the average.
    g = total - F_x if which == "pzobo" else total
    sigma = np.sqrt((g @ g + g**2) / M)
    assert (np.abs(mean - total) < 5 * sigma).all()
    assert 5 * sigma.max() < 0.1 * np.abs(g).max()


@pytest.mark.parametrize("which", ["pzobo", "hozog"])
def test_directions_that_do_not_fit_are_refused_with_their_size(which):
    poisoning = dataclasses.replace(helpers.small_quadratic(), outer_shape=(9000, 784))
    why = lambda M: helpers.why_skipped(helpers.solver_classes()[which], poisoning, n_directions=M, step_size=0.3)
    for part in ("n_directions = 10 ", "7,056,000", "70,560,000 normals", "0.53 GiB", "at most 4 directions"):
        assert part in why(10)
    assert "normals" not in (why(4) or "")


# ---------------------------------------------------------------------- penalty methods


@pytest.mark.parametrize(
    ("batch_size", "outer_batch_size", "levels"),
    [
        (16, "same", "both"),
        (16, "full", "both"),
        ("full", "same", "none"),
        ("full", "full", "none"),
        ("full", 16, "outer"),
    ],
)
def test_noisy_levels_are_those_that_are_sampled(batch_size, outer_batch_size, levels):
    assert noisy_levels("auto", batch_size, outer_batch_size) == levels
    assert noisy_levels("both", batch_size, outer_batch_size) == "both"


@pytest.mark.parametrize(("which", "rates"), [("f2sa", (7 / 2, 5 / 2, 3 / 2)), ("f3sa", (5 / 2, 2, 3 / 2))])
def test_exponents_belong_to_the_rates_of_the_paper(which, rates):
    """Bias lambda^-2 and optimisation error 1 / (k alpha) both fall as k^(-1 / rate), alpha = gamma / (2 lambda)."""
    exponents = sys.modules[helpers.solver_classes()[which].__module__].EXPONENTS
    for levels, rate in zip(("both", "outer", "none"), rates, strict=True):
        decay, growth = exponents[levels]
        assert_allclose((2 * growth, 1 - decay - growth), 1 / rate, rtol=1e-12)


def penalty_minimiser(reference, penalty, kind):
    """Return (z, x) that minimise F + penalty P.

    P is G - min G ("value"), ‖grad_z G‖^2 ("norm") or, where ``kind`` is a number, G minus its Moreau envelope in z
    with that parameter.
    """
    r, p = reference, len(reference.c)
    hessian = np.block([[r.A_F, r.C_F.T], [r.C_F, r.B_F]])
    linear = np.concatenate([r.c_F, r.e_F])
    g = np.hstack([r.A, r.C.T])  # grad_z G = g (z, x) + c
    # G - min G = g.A^{-1} g / 2 and G - v_gamma = g.(A + I / gamma)^{-1} g / 2: all penalties are quadratic in g.
    if kind == "norm":
        weight = np.eye(p)
    else:
        weight = np.linalg.inv(r.A + (0 if kind == "value" else np.eye(p) / kind)) / 2
    hessian = hessian + 2 * penalty * g.T @ weight @ g
    solution = -np.linalg.solve(hessian, linear + 2 * penalty * g.T @ weight @ r.c)
    return solution[:p], solution[p:]


PENALTY_METHODS = {
    "f2sa": ("value", dict(step_size=0.5, outer_ratio=0.1, n_inner_steps=5)),
    "f3sa": ("value", dict(step_size=0.5, outer_ratio=0.2)),
    "v_pbgd": ("value", dict(step_size=0.5, outer_ratio=0.5, n_inner_steps=5)),
    "g_pbgd": ("norm", dict(step_size=0.4, outer_ratio=0.5)),
    "meha": (5.0, dict(step_size=0.5, outer_ratio=0.5, inner_ratio=1.0, envelope=5.0)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", PENALTY_METHODS)
def test_fixed_penalty_converges_to_its_minimiser_at_distance_one_over_the_penalty(case):
    problem, (kind, parameters) = helpers.small_quadratic(), PENALTY_METHODS[case]
    cls, distances = helpers.solver_classes()[case], []
    for penalty in (10.0, 20.0):
        z, x = penalty_minimiser(problem.evaluator, penalty, kind)
        result = helpers.run(cls, problem, 6000, batch_size="full", schedule="constant", penalty=penalty, **parameters)
        assert_allclose(result["x"], x, rtol=0, atol=1e-8)
        assert_allclose(result["z"], z, rtol=0, atol=1e-8)
        distances.append(np.linalg.norm(result["x"] - problem.evaluator.minimiser()))
    assert 1.7 < distances[0] / distances[1] < 2.3


def first_derivative_minimiser(reference, nu, order):
    """Return the x at which the finite difference of grad l_nu is zero, l_nu(x) = min over z of nu F + G."""
    r, d = reference, len(reference.e)

    def gradient(x, j):  # of l_{j nu}, at its own z
        A = j * nu * r.A_F + r.A
        z = -np.linalg.solve(A, j * nu * (r.C_F.T @ x + r.c_F) + r.C.T @ x + r.c)
        return j * nu * (r.B_F @ x + r.C_F @ z + r.e_F) + r.B @ x + r.C @ z + r.e

    def difference(x):
        return sum(a * gradient(x, j) for j, a in first_derivative(order).items()) / nu

    constant = difference(np.zeros(d))
    return -np.linalg.solve(np.stack([difference(e) - constant for e in np.eye(d)], axis=1), constant)


@pytest.mark.slow
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_f2sa_p_converges_to_the_zero_of_its_finite_difference_whose_error_has_the_order(order):
    problem, cls, distances = helpers.small_quadratic(), helpers.solver_classes()["f2sa_p"], []
    exact = problem.evaluator.minimiser()
    for nu in (0.1, 0.05):
        result = helpers.run(
            cls, problem, 800, batch_size="full", order=order, nu=nu, n_inner_steps=20, step_size=0.5,
            outer_step="plain", schedule="constant", outer_ratio=1.0,
        )  # fmt: skip
        x = first_derivative_minimiser(problem.evaluator, nu, order)
        assert_allclose(result["x"], x, rtol=0, atol=1e-8)
        distances.append(np.linalg.norm(x - exact))
    assert 0.7 * 2**order < distances[0] / distances[1] < 1.5 * 2**order


def test_first_derivative_is_exact_for_polynomials_of_its_order():
    for order in range(1, 11):
        weights = first_derivative(order)
        assert len(weights) == order + order % 2
        for q in range(order + 1):
            assert_allclose(sum(a * j**q for j, a in weights.items()), float(q == 1), atol=1e-9, err_msg=f"{order} {q}")


def test_pbgd_free_ends_where_the_gradient_of_the_upper_loss_in_x_is_zero():
    problem, gamma = helpers.small_quadratic(), 10.0
    r, p = problem.evaluator, len(problem.evaluator.c)
    result = helpers.run(
        helpers.solver_classes()["pbgd_free"], problem, 3000, batch_size="full", penalty=gamma, n_inner_steps=2,
        step_size=0.5, outer_ratio=1.0,
    )  # fmt: skip
    in_z = np.hstack([r.A_F / gamma + r.A, r.C_F.T / gamma + r.C.T])
    system = np.vstack([in_z, np.hstack([r.C_F, r.B_F])])
    expected = -np.linalg.solve(system, np.concatenate([r.c_F / gamma + r.c, r.e_F]))
    assert_allclose(np.concatenate([result["z"], result["x"]]), expected, rtol=0, atol=1e-8)
    assert np.linalg.norm(expected[p:] - r.minimiser()) > 1e-3, "no bias to see"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("which", "own", "exponent"),
    [
        ("f2sa", dict(noise="both"), 1 / 7),
        ("f3sa", dict(noise="both"), 1 / 5),
        ("f2sa", dict(noise="auto"), 1 / 3),
        ("meha", dict(envelope=5.0), 0.49),
    ],
)
def test_growing_penalty_is_followed_and_stays_stable(which, own, exponent):
    problem, n_iter = helpers.small_quadratic(), 20_000
    result = helpers.run(
        helpers.solver_classes()[which], problem, n_iter, batch_size="full", penalty=5.0,
        step_size=0.9, n_inner_steps=2, outer_ratio=0.1, **own,
    )  # fmt: skip
    assert not result["diverged"]
    kind = PENALTY_METHODS[which][0]
    _, now = penalty_minimiser(problem.evaluator, 5 * n_iter**exponent, kind)
    _, first = penalty_minimiser(problem.evaluator, 5, kind)
    assert np.linalg.norm(result["x"] - now) < 0.2 * np.linalg.norm(first - now)


@pytest.mark.parametrize("method", ["v_pbgd", "g_pbgd"])
def test_rising_penalty_ends_at_the_fixed_one(method):
    problem, (kind, parameters) = helpers.small_quadratic(), PENALTY_METHODS[method]
    _, x = penalty_minimiser(problem.evaluator, 10.0, kind)
    result = helpers.run(
        helpers.solver_classes()[method], problem, 4000, batch_size="full", penalty_start=0.0, penalty=10.0, ramp=500,
        **parameters,
    )  # fmt: skip
    assert_allclose(result["x"], x, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("barrier", ["grad_norm", "value"])
def test_bome_ends_at_a_distance_proportional_to_the_step(barrier):
    problem, distances = helpers.small_quadratic(), []
    for step in (0.06, 0.03):
        result = helpers.run(
            helpers.solver_classes()["bome"], problem, int(150 / step), batch_size="full", barrier=barrier,
            step_size=step, outer_ratio=1.0, inner_ratio=4 / 3 / step, n_inner_steps=20,
        )  # fmt: skip
        distances.append(np.linalg.norm(result["x"] - problem.evaluator.minimiser()))
    assert distances[0] < 0.2
    assert 1.5 < distances[0] / distances[1] < 2.5


# ---------------------------------------------------------------------- variants and costs

# Full passes over (G, F) of one outer iteration, in the order of the ledger; * marks passes over F.
COSTS = {
    "aid_bio": (dict(n_inner_steps=3, n_linear_steps=2), "3 0 1* 3 1 0"),  # CG from a warm start: N + 1 products
    "aid_cg": (dict(n_inner_steps=3, n_linear_steps=2), "3 0 1* 2 1 0"),
    "aid_fp": (dict(n_inner_steps=3, n_linear_steps=2), "3 0 1* 2 1 0"),
    "aid_neumann": (dict(n_inner_steps=3, n_neumann_steps=2), "3 0 1* 2 1 0"),
    "ba": (dict(n_inner_steps=3, n_neumann_steps=2, schedule="constant"), "3 0 1* 2 1 0"),
    # The last step of the backward pass needs no product with H.
    "itd_bio": (dict(n_inner_steps=3), "3 0 1* 2 3 0"),
    "itd_bio-truncated": (dict(n_inner_steps=3, truncation=2), "3 0 1* 1 2 0"),
    "f2sa": (dict(n_inner_steps=3), "6 2 4* 0 0 0"),
    "f2sa_p": (dict(n_inner_steps=3, order=2), "6 2 8* 0 0 0"),
    "f2sa_p-odd": (dict(n_inner_steps=3, order=3), "12 4 13* 0 0 0"),  # 4 problems, that of j = 0 without F
    "meha": ({}, "2 2 2* 0 0 0"),
    "pbgd_free": (dict(n_inner_steps=3), "3 0 4* 0 0 0"),
    "f3sa": ({}, "4 4 4* 0 0 0"),
    "bome": (dict(n_inner_steps=3), "4 2 1* 0 0 0"),
    "bome-value": (dict(n_inner_steps=3, barrier="value"), "4 2 1* 0 0 2"),
    "v_pbgd": (dict(n_inner_steps=3), "4 2 1* 0 0 0"),
    "g_pbgd": (dict(), "1 0 1* 1 1 0"),
    "pzobo": (dict(n_inner_steps=3, n_directions=4), "15 0 1* 0 0 0"),
    "hozog": (dict(n_inner_steps=3, n_directions=4), "15 0 0 0 0 5*"),
}


@pytest.mark.parametrize("case", COSTS)
def test_ledger_of_one_iteration(case, backend):
    parameters, cost = COSTS[case]
    expected = [int(c.rstrip("*")) * (50 if "*" in c else 70) for c in cost.split()]
    cls = helpers.solver_classes()[case.split("-")[0]]
    result = helpers.run(cls, helpers.small_quadratic(), 3, backend=backend, batch_size="full", **parameters)
    assert list(helpers.counts(result)) == [3 * c for c in expected]


VARIANTS = {
    "aid_bio": dict(inner_schedule="theory", n_inner_steps=2, max_inner_steps=4),
    "aid_cg": dict(warm_start="none"),
    "aid_fp": dict(warm_start="none"),
    "aid_neumann": dict(warm_start="none"),
    "ba": dict(schedule="constant", warm_start="z"),
    "itd_bio": dict(truncation=3, warm_start="none"),
    "f2sa": dict(schedule="constant"),
    "f2sa_p": dict(order=3),
    "meha": dict(schedule="constant"),
    "f3sa": dict(schedule="constant"),
    "bome": dict(barrier="value"),
    "v_pbgd": dict(schedule="constant"),
    "g_pbgd": dict(schedule="constant"),
    "pzobo": dict(warm_start="none"),
    "hozog": dict(warm_start="none"),
}


@pytest.mark.slow
@pytest.mark.parametrize("method", VARIANTS)
def test_variants_agree_between_backends(method):
    problem, cls = helpers.small_quadratic(), helpers.solver_classes()[method]
    short = dict(n_inner_steps=4, n_linear_steps=4, n_neumann_steps=4, n_directions=3, step_size=0.3, batch_size=16)
    short |= dict(outer_ratio=1.0, penalty=10.0 if method in ("v_pbgd", "g_pbgd") else 1.0)
    a, b = (helpers.run(cls, problem, 40, backend=backend, **short | VARIANTS[method]) for backend in ("jax", "torch"))
    helpers.assert_agree(a, b, atol=1e-9)
    other = helpers.run(cls, problem, 40, backend="jax", **short)
    assert np.abs(other["x"] - a["x"]).max() > 1e-6, "the variant must matter"


def test_lengths_grow_like_the_fourth_root():
    aid_bio, length = helpers.solver_classes()["aid_bio"], dict(n_inner_steps=3, max_inner_steps=8)
    lengths = helpers.resolved(aid_bio, inner_schedule="theory", **length).inner_lengths
    expected = [min(8, int(np.ceil(3 * (k + 1) ** 0.25 - 1e-9))) for k in range(60)]
    assert [lengths[k] for k in range(60)] == expected
    assert lengths[0] == 3
    assert lengths[15] == 6  # exact where k + 1 is a fourth power
    assert lengths[-1] == 8


@pytest.mark.parametrize(("method", "schedule"), [("aid_bio", dict(inner_schedule="theory")), ("ba", {})])
def test_growing_lengths_are_counted_as_they_run(method, schedule, backend):
    cls, n_iter = helpers.solver_classes()[method], 30
    result = helpers.run(
        cls, helpers.small_quadratic(), n_iter, backend=backend, batch_size="full", n_inner_steps=2, n_linear_steps=1,
        n_neumann_steps=3, **schedule,
    )  # fmt: skip
    root = (np.arange(n_iter) + 1) ** 0.25
    T, Q = (np.ceil(n * root - 1e-9).astype(int).sum() for n in (2, 3))
    assert result["counts"]["grad_inner"] == 70 * T
    assert result["counts"]["hvp"] == 70 * (Q if method == "ba" else 2 * n_iter)


def test_one_block_serves_a_whole_iteration_where_the_method_is_deterministic(backend):
    """With numeric batches every sum of AID-CG in one iteration is over one drawn block: hand count of the rows."""
    cls, problem = helpers.solver_classes()["aid_cg"], helpers.small_quadratic()
    result = helpers.run(cls, problem, 25, backend=backend, batch_size=16, n_inner_steps=3, n_linear_steps=2)
    partitions = {"inner": Partition.of(70, 16), "outer": Partition.of(50, 16)}
    draws = DrawStreams(helpers.resolved(cls, batch_size=16).draws(), partitions, seed=0).take(25)
    xi, zeta = (
        int(partitions[level].sizes()[draws[role]].sum()) for level, role in (("inner", "xi"), ("outer", "zeta"))
    )
    assert list(helpers.counts(result)) == [3 * xi, 0, zeta, 2 * xi, xi, 0]


def test_bad_choices_are_refused_with_a_sentence():
    problem = helpers.small_quadratic()
    bad = {
        "aid_bio": dict(inner_schedule="x"), "aid_fp": dict(warm_start="x"), "aid_cg": dict(warm_start="x"),
        "aid_neumann": dict(warm_start="x"), "ba": dict(schedule="x"), "itd_bio": dict(truncation=11),
        "f2sa_p": dict(outer_step="x"), "meha": dict(schedule="x"), "accbo": dict(outer_step="x"),
        "pnpbo": dict(linear_estimator="x"), "f2sa": dict(schedule="x"), "f3sa": dict(schedule="x"),
        "bome": dict(barrier="x"), "v_pbgd": dict(schedule="x"),
        "g_pbgd": dict(schedule="x"), "pzobo": dict(smoothing=0.0), "hozog": dict(smoothing=0.0),
    }  # fmt: skip
    for stem, choice in itertools.chain(bad.items(), [("pzobo", dict(warm_start="x")), ("ba", dict(warm_start="x"))]):
        reason = helpers.why_skipped(helpers.solver_classes()[stem], problem, **{"batch_size": 16} | choice)
        assert reason is not None, stem
        assert next(iter(choice)) in reason
