"""Faults in the solvers: steps, schedules, points, means, projections."""

from .fault import Fault

DIRECTIONS = "tests/contract/test_directions.py -k "
SETS = "tests/contract/test_feasible_set.py -k "


def solver(name, old, new, tests=None):
    """Return a fault in a solver's file; its transcription sees it unless tests are named."""
    stem = name.split(".")[0]
    tests = tests or f"tests/contract/test_transcriptions.py -k {stem}"
    return Fault(f"solvers.{name}", f"solvers/{stem}.py", old, new, tests)


def unprojected(stem, step):
    """Return the fault of a solver that leaves the feasible set."""
    return solver(f"{stem}.no_projection", f"oracles.project({step})", f"({step})", SETS + stem)


FAULTS = (
    # ------------------------------------------------------------------ steps and exponents
    solver("soba.exponent", "(self.schedule, 1 / 2)", "(self.schedule, 1 / 3)"),
    solver("soba.step_times_ratio", "gamma = rho / hp", "gamma = rho * hp"),
    solver("mrbo.step_times_ratio", "gamma = rho / hp", "gamma = rho * hp"),
    solver("mrbo.exponent_of_the_weight", "(self.schedule, 2 / 3)", "(self.schedule, 1 / 3)"),
    solver("aid_bio.step_times_ratio", "beta = hp.step_size / hp", "beta = hp.step_size * hp"),
    solver("fdehbo.weight_of_v_for_x", "weight(hp.linear_momentum)", "weight(hp.momentum)"),
    solver("stable.one_weight_for_both", "weight(hp.cross_momentum)", "weight(hp.momentum)"),
    solver("f3sa.no_offset_of_lambda", "(self.schedule, -growth), k_0)", "(self.schedule, -growth))"),
    solver("ma_soba.weight_does_not_decay", "power_law(hp.theta, s.t, decay)", "hp.theta"),
    solver("f2sa.exponent", '"both": (4 / 7', '"both": (3 / 7'),
    solver("f2sa.penalty_does_not_grow", "(self.schedule, -growth)", "(self.schedule, 0)"),
    solver(
        "f3sa.exponent_where_f_is_noisy", '"outer": (1 / 4', '"outer": (2 / 5',
        "tests/contract/test_deterministic_limits.py -k exponents_belong",
    ),
    solver(
        "stable.floor_above_the_constant", 'start="mu"', "start=0.5",
        "tests/contract/test_stable.py -k 'direction_from and stable-'",
    ),
    solver(
        "hoag.slack_in_the_rejection",
        "F_last + self.max_increase * abs(F_last)",
        "F_last + self.max_increase * abs(F_last) + 1.25 * epsilon_last * length",
        "tests/contract/test_host_files.py -k hoag_rejects",
    ),
    solver("alset.sgd_starts_at_grad_z", "b, 0 * b, eta, K", "b, b, eta, K"),
    solver("v_pbgd.inner_loop_ignores_its_start", 's.w if self.inner_start == "w" else s.z', "s.w"),
    solver("ttsa.exponents_swapped", "\"theory\": (2 / 5, 3 / 5)", "\"theory\": (3 / 5, 2 / 5)"),
    solver(
        "stocbio.step_of_the_series", "eta = hp.neumann_step", "eta = hp.step_size",
    ),
    solver("sustain.exponent_of_the_weight", "2 * decay", "decay"),
    solver("stfbo.outer_step_without_phi", "D_x / (alpha * phi)", "D_x / alpha"),
    solver("dtfbo.sum_of_the_other_loop", "beta_0, s.v, s.sum_v", "beta_0, s.v, s.sum_z"),
    solver("dtfbo.tolerance_of_the_norm", "square <= self", "square**2 <= self"),
    solver("subbio.sign_of_the_step", "s.v - eta * hvp(s.v)", "s.v + eta * hvp(s.v)"),
    solver("lancbio.only_one_vector_back", "u = Hq - beta * q_old", "u = Hq"),
    solver("lancbio.restart_ignores_v", "unit(oracles, b - w, 0", "unit(oracles, b, 0"),
    Fault(
        "solvers.lancbio.lost_vectors_are_kept", "benchmark_utils/formulas/krylov.py",
        "** 0.5 * scale", "* 0 * scale", "tests/contract/test_lancbio.py -k exhausted",
    ),
    # ------------------------------------------------------------------ points and batches
    solver("soba.batch_of_the_other_level", "s.x, draws.zeta)", "s.x, draws.xi)"),
    solver(
        "stocbio.products_at_the_old_z",
        "return oracles.hvp(z, s.x,",
        "return oracles.hvp(s.z, s.x,",
    ),
    solver(
        "aid_bio.products_at_the_old_z",
        "oracles.hvp(z, s.x, u, xi)",
        "oracles.hvp(s.z, s.x, u, xi)",
    ),
    solver("fsla.old_direction_at_x", "(s.z, s.v, s.x_old)", "(s.z, s.v, s.x)"),
    solver(
        "v_pbgd.gradient_at_the_old_w",
        "oracles.grad_inner_x(w, s.x",
        "oracles.grad_inner_x(s.w, s.x",
    ),
    solver(
        "bome.gradient_at_the_old_z", "oracles.grad_inner_x(z_T, x", "oracles.grad_inner_x(z, x",
    ),
    solver(
        "saba.mean_over_the_blocks_of_the_other_level",
        "s.outer_mean + change / s.outer_table.shape[0]",
        "s.outer_mean + change / s.inner_table.shape[0]",
    ),
    solver("vrbo.direction_not_the_one_used", "d_x=u_x,", "d_x=v_x,", DIRECTIONS + "vrbo"),
    solver("ma_soba.direction_not_the_one_used", "d_x=s.h,", "d_x=D_x,", DIRECTIONS + "ma_soba"),
    solver("spaba.never_exact", "(draws.full == 1)", "(draws.full == 2)"),
    solver("srba.old_point_is_two_steps_back", "v_old=s.v, x_old=s.x", "v_old=s.v, x_old=s.x_old"),
    solver("hozog.slope_over_twice_the_step", "- value) / mu", "- value) / (2 * mu)"),
    solver(
        "itd_bio.one_adjoint_step_short",
        "oracles.repeat(K - 1, backward,",
        "oracles.repeat(K - 2, backward,",
    ),
    solver(
        "hoag.rejected_step_counts_as_last",
        "self.shrink / 2, None",
        "self.shrink / 2, self.last",
        "tests/contract/test_host_files.py -k hoag",
    ),
    # ------------------------------------------------------------------ signs and weights
    solver("pnpbo.weight_of_the_memory", "(weight if old else 1) * control", "control"),
    solver("f2sa_p.weight_of_the_upper_loss", "d_y + j * nu *", "d_y + nu *"),
    solver("meha.sign_of_the_proximal_term", "draws.G_z) - (s.z", "draws.G_z) + (s.z"),
    solver("pbgd_free.weight_of_the_upper_loss", "F_z / hp.penalty", "F_z * hp.penalty"),
    solver("accbo.sign_of_the_extrapolation", "y + hp.extrapolation *", "y - hp.extrapolation *"),
    # ------------------------------------------------------------------ projections
    unprojected("bsa", "s.x - alpha * D_x"),
    unprojected("alset", "s.x - alpha * D_x"),
    unprojected("f2sa", "s.x - beta * D_x"),
    unprojected("biadam", "s.x - gamma * m_x / A"),
    unprojected("mrbo", "s.x - gamma * d_x"),
    unprojected("bsgm", "x - alpha * D_x"),
    unprojected("stable_vr", "s.x - gamma * D_x"),
    solver(
        "optuna.no_projection",
        "self.project(np.array(list(trial.params.values())))",
        "np.array(list(trial.params.values()))",
        SETS + "optuna",
    ),
)  # fmt: skip
