"""Faults in the objective's columns, evaluators, data sets, tables and curves."""

from .fault import Fault

OBJECTIVE = "objective.py"
CLASSIFICATION = "benchmark_utils/builders/classification.py"
EVALUATOR = "benchmark_utils/evaluation/glm.py"
SUMMARY = "benchmark_utils/statistics/table.py"
CURVES = "benchmark_utils/statistics/curves.py"

COLUMNS = "tests/core/test_objective_columns.py -k 'close_together or box_matters'"
OF_CLASSES = "tests/core/test_objective_columns.py -k classification"
REPETITIONS = "tests/core/test_objective_columns.py -k differ_in_seed"
TABLES = "tests/tools/test_summary.py"
SPLITS = "tests/core/test_splits.py"
EMBEDDED = "tests/core/test_embedded_problems.py -k "


def column(name, old, new, tests=COLUMNS):
    """Return a fault in the objective."""
    return Fault(f"objective.{name}", OBJECTIVE, old, new, tests)


FAULTS = (
    # ------------------------------------------------------------------ columns
    column(
        "values_at_the_x_before", "solution = self._solve(x) row",
        "solution = self._solve(x_before)\n                row",
    ),
    column(
        "norm_not_squared", "return float(gradient @ gradient)",
        "return float(np.linalg.norm(gradient))",
    ),
    column(
        "stale_solution", "start = self._last if",
        "if self._last is not None and np.linalg.norm(x - self.at) < 0.1:\n"
        "            return self._last\n"
        "        self.at = x if keep else self.at\n"
        "        start = self._last if",
    ),
    column(
        "inner_gap_not_squared", "float(np.sum((z - solution.z.ravel()) ** 2))",
        "float(np.linalg.norm(z - solution.z.ravel()))",
    ),
    column("sign_of_h_gap", "solution.h - problem.h_star", "problem.h_star - solution.h"),
    column("direction_compared_at_x", "self._solve(x_before, keep=False)", "solution"),
    column("error_over_the_norm_of_the_direction", "/ norm) if", "/ other) if"),
    column(
        "samples_without_values", "sum(counts.values())",
        'sum(counts.values()) - counts["value"]',
    ),
    column("sign_of_the_gradient_mapping", "x - alpha * gradient", "x + alpha * gradient"),
    column("mapping_not_over_its_step", "((x - moved) / alpha) ** 2", "(x - moved) ** 2"),
    column(
        "outer_loss_at_the_exact_z", "problem.evaluator.outer_value(z, x)",
        "problem.evaluator.outer_value(solution.z, x)",
    ),
    column("cosine_without_a_norm", "/ (norm * other)", "/ norm"),
    column(
        "divergence_lost", "int(diverged or not finite)", "int(diverged)",
        "tests/core/test_objective_columns.py -k not_finite",
    ),
    column(
        "one_seed_for_all_repetitions", "self.get_seed(use_repetition=True)", "self.get_seed()",
        REPETITIONS,
    ),
    column(
        "one_start_for_all_repetitions", "start_point(self.problem, self.seed)", "start_point(self.problem, 0)",
        REPETITIONS,
    ),
    Fault(
        "objective.exact_test_loss_at_the_own_z", CLASSIFICATION,
        'splits["test"], solution.z.reshape', 'splits["test"], z.reshape', OF_CLASSES,
    ),
    Fault(
        "objective.auc_of_the_wrong_labels", "benchmark_utils/builders/cleaning.py", "roc_auc_score(clean, x)",
        "roc_auc_score(~clean, x)", OF_CLASSES,
    ),
    # ------------------------------------------------------------------ evaluators
    Fault(
        "evaluation.adjoint_tolerance", EVALUATOR,
        "v, self.adjoint_tolerance, frozen", "v, 0.1, frozen",
        "tests/core/test_newton_cg.py -k iterative_solution_equals",
    ),
    Fault(
        "evaluation.newton_stops_early", EVALUATOR,
        "if size <= self.tolerance or", "if size <= 1e-4 or",
        "tests/core/test_evaluators.py -k 'inner_problem_of_the_oracles and breast and torch'",
    ),
    Fault(
        "evaluation.sign_of_the_adjoint", EVALUATOR, "b = -self.outer_gradient(z)",
        "b = self.outer_gradient(z)",
        "tests/core/test_evaluators.py -k 'inner_problem_of_the_oracles and breast and torch'",
    ),
    Fault(
        "evaluation.unused_features_have_no_adjoint", EVALUATOR,
        "v_all = b / q", "v_all = 0 * b",
        "tests/core/test_newton_cg.py -k iterative_solution_equals",
    ),
    Fault(
        "evaluation.minimum_of_another_h", "benchmark_utils/evaluation/quadratic.py",
        "cross + cross.T", "cross", "tests/core/test_evaluators.py -k quadratic_optimum",
    ),
    Fault(
        "evaluation.adjoint_of_embedded_classifiers", "benchmark_utils/evaluation/multinomial.py",
        'table, -of_outer["grad_z"]', 'table, of_outer["grad_z"]',
        EMBEDDED + "central_differences",
    ),
    Fault(
        "evaluation.fixed_point_stops_early", "benchmark_utils/evaluation/fixed_point.py",
        "if size <= self.tolerance or", "if size <= 1e-3 or", EMBEDDED + "solves_both_systems",
    ),
    # ------------------------------------------------------------------ data sets
    Fault(
        "datasets.mnist_tolerance", "datasets/mnist_cleaning.py", "reference_tolerance=1e-9",
        "reference_tolerance=1e-3", SPLITS + " -k 'residual and mnist'",
    ),
    Fault(
        "datasets.covtype_tolerance", "datasets/covtype.py", "reference_tolerance=1e-10",
        "reference_tolerance=1e-3", SPLITS + " -k 'residual and covtype'",
    ),
    Fault(
        "datasets.mnist_scaled_by_all_rows", "datasets/mnist_cleaning.py",
        "fit(train.astype", "fit(images.astype", SPLITS + " -k 'scaled and mnist'",
    ),
    Fault(
        "datasets.breast_cancer_scaled_by_all_rows", "datasets/breast_cancer.py",
        "StandardScaler().fit(train)", "StandardScaler().fit(features)",
        SPLITS + " -k 'scaled and breast'",
    ),
    Fault(
        "datasets.test_rows_are_the_outer_ones", "datasets/ijcnn1.py",
        '"test": tuple(a[half:]', '"test": tuple(a[:half]', SPLITS + " -k held_out",
    ),
    # ------------------------------------------------------------------ tables and curves
    Fault(
        "summary.best_is_the_worst", SUMMARY, "rows.objective_value.min()",
        "rows.objective_value.max()", TABLES,
    ),
    Fault(
        "summary.last_is_the_first", SUMMARY, "last = rows.iloc[-1]", "last = rows.iloc[0]",
        TABLES,
    ),
    Fault(
        "summary.last_finite_value_of_a_diverged_run", SUMMARY,
        "last=np.inf if diverged else worst(last.objective_value)",
        "last=rows.objective_value.dropna().iloc[-1]", TABLES,
    ),
    Fault(
        "summary.configurations_merged", SUMMARY,
        'df.fillna({c: "none" for c in identity}).sort_values(',
        'df.assign(solver_name=df.solver_name.str.split("[").str[0]).sort_values(', TABLES,
    ),
    Fault(
        "summary.mean_for_median", SUMMARY, "float(np.median(each[name]))",
        "float(np.mean(each[name]))", TABLES,
    ),
    Fault(
        "plots.two_rules_mixed", CURVES,
        "(df.dataset_name == dataset) & (df.objective_name == objective)",
        "(df.dataset_name == dataset)", TABLES,
    ),
    Fault(
        "plots.quartiles_called_deciles", CURVES, "BAND = (0.1, 0.9)", "BAND = (0.25, 0.75)",
        "tests/tools/test_band.py",
    ),
    Fault("plots.diverged_run_dropped", CURVES, "rep] = worst", "rep] = np.nan", TABLES),
)  # fmt: skip
