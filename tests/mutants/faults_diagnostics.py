"""Faults in what explains a result: the error of the direction, peak memory, colours, sensitivity."""

from .fault import Fault

SPLIT = "benchmark_utils/evaluation/split.py"
LISTENING = "benchmark_utils/oracles/listening.py"
NEXT = "benchmark_utils/running/next_direction.py"
STYLES = "benchmark_utils/statistics/styles.py"
SENSITIVITY = "benchmark_utils/tuning/sensitivity.py"

DIRECTION = "tests/core/test_direction_error.py -k "
COLOURS = "tests/tools/test_styles.py -k "
DRAWS = "tests/tools/test_sensitivity.py -k "

FAULTS = (
    Fault(
        "split.noise_of_the_wrong_v", SPLIT, "at_v = evaluator.direction(z, v, x)",
        "at_v = evaluator.direction(z, start.v if start else v, x)", DIRECTION + "add_up",
    ),
    Fault(
        "split.inner_and_rest_swapped", SPLIT, '"inner": norm(at_z - exact), "rest": norm(d - at_z)',
        '"rest": norm(at_z - exact), "inner": norm(d - at_z)', DIRECTION + "by_hand",
    ),
    Fault(
        "split.adjoint_at_the_solution", "benchmark_utils/evaluation/glm.py",
        "z, x = np.reshape(z, self.shape), np.asarray(x, np.float64)",
        "z, x = np.reshape(z if start is None else start.z, self.shape), np.asarray(x, np.float64)",
        DIRECTION + "'oracles_anywhere and moved'",
    ),
    Fault(
        "split.unused_features_are_zero", "benchmark_utils/evaluation/glm.py",
        "return self._cross(x, z, self.A @ z[self.used], v)",
        "return self._cross(x, np.where(np.isin(np.arange(len(z)), self.used)[:, None], z, 0), "
        "self.A @ z[self.used], v)",
        DIRECTION + "'oracles_anywhere and sparse'",
    ),
    Fault("listening.old_points", LISTENING, "if x is self.x and not", "if not", DIRECTION + "iteration_before"),
    Fault(
        "listening.loops_are_not_heard", LISTENING, "body(0, val)", "pass", DIRECTION + "'no_noise and bsgm-jax'",
    ),
    Fault(
        "listening.branch_not_taken", LISTENING, "(on_false if pred else on_true)(*operands)", "pass",
        DIRECTION + "'no_noise and spaba-torch'",
    ),
    Fault("next_direction.tables_are_written", NEXT, "if bk.eager:", "if False:", DIRECTION + "'takes_next and saba'"),
    Fault(
        "next_direction.draws_are_used_up", NEXT, "run_state.draws.peek(1)", "run_state.draws.take(1)",
        DIRECTION + "'takes_next and stocbio'",
    ),
    Fault(
        "memory.peak_of_the_process", "benchmark_utils/running/solver.py", "memory.forget_peak()", "pass",
        "tests/core/test_peak_memory.py -k its_own_peak",
    ),
    Fault(
        "styles.a_colour_for_each_backend", STYLES, "(method[solver], *map(str, others))",
        "(solver, *map(str, others))", COLOURS + "one_colour",
    ),
    Fault("styles.ten_colours", STYLES, "COLOURS[k % len(COLOURS)]", "COLOURS[k % 10]", COLOURS + "forty"),
    Fault(
        "sensitivity.draws_with_replacement", SENSITIVITY,
        "return 1 - np.exp(log_binomial(left, k) - log_binomial(n, k))", "return 1 - (left / n) ** k",
        DRAWS + "written_out",
    ),
    Fault(
        "sensitivity.start_is_drawn_too", SENSITIVITY, "capped = np.minimum(others, first)", "capped = others",
        DRAWS + "comes_first",
    ),
    Fault(
        "sensitivity.later_rounds_count", "tools/sensitivity.py", "for i, o in trials if i == 0", "for i, o in trials",
        DRAWS + "first_round",
    ),
)  # fmt: skip
