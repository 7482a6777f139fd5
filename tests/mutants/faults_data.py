"""Faults in what data of one's own go through, in variants of data sets, merged results and figures."""

from .fault import Fault

ARRAYS = "benchmark_utils/problem/arrays.py"
CHECKS = "benchmark_utils/problem/checks.py"
LABELS = "benchmark_utils/files/labels.py"
ROWS = "benchmark_utils/builders/rows.py"
OWN = "benchmark_utils/builders/own_data.py"
SMOOTH = "benchmark_utils/evaluation/smooth.py"
RUNS = "benchmark_utils/statistics/labels.py"
FIGURES = "tools/figures.py"

OWN_DATA = "tests/core/test_own_data.py -k "
SOLUTIONS = "tests/tools/test_add_a_problem.py -k "
REAL = "tests/core/test_problems_real.py -k "
TABLES = "tests/tools/test_summary.py"


FAULTS = (
    Fault("data.duplicates_kept", ARRAYS, "rows.sum_duplicates()", "pass", OWN_DATA + "duplicate"),
    Fault("data.wrong_row_of_a_nan", ARRAYS, 'side="right"', 'side="left"', OWN_DATA + "not_finite"),
    Fault(
        "data.labels_wrapped", LABELS, "or not np.isin(codes, np.arange(n_classes)).all()", "",
        OWN_DATA + "out_of_range",
    ),
    Fault("data.missing_labels_taken", LABELS, "if missing.any():", "if False:", OWN_DATA + "cannot_be_numbered"),
    Fault(
        "data.any_two_labels_taken", ROWS, 'or not np.isin(y, (-1, 1)).all()', "",
        OWN_DATA + "no_signs",
    ),
    Fault(
        "data.any_matrix_of_labels_taken", ROWS,
        "raw.ndim == 2 and raw.shape[1] == n_classes", "raw.ndim == 2",
        OWN_DATA + "no_unit_rows",
    ),
    Fault("data.labels_longer_than_rows", ROWS, "if len(y) != A.shape[0]:", "if False:", OWN_DATA + "splits_that"),
    Fault(
        "data.scaled_by_all_rows", OWN, '_scaler(splits["train"][0])', "_scaler(A)",
        OWN_DATA + "scaled_by_its_training",
    ),
    Fault("data.rows_in_two_splits", OWN, "rows = rows[taken:]", "pass", OWN_DATA + "scaled_by_its_training"),
    Fault(
        "data.sorted_by_class", OWN, "split: rng.permutation(np.concatenate(parts))",
        "split: np.concatenate(parts)", OWN_DATA + "scaled_by_its_training",
    ),
    Fault(
        "data.unforeseen_error_ends_the_run", "benchmark_utils/builders/data_set.py",
        "except Exception as error:", "except ZeroDivisionError as error:", OWN_DATA + "no_error_of",
    ),
    Fault(
        "data.start_and_terms_unchecked", CHECKS,
        "return _why_bad_start(problem) or _why_bad_terms(problem, xp)", "return None",
        OWN_DATA + "typed_by_hand",
    ),
    Fault(
        "data.two_of_one_name", "benchmark_utils/files/names.py", "if len(same) < 2:", "if True:",
        OWN_DATA + "two_files",
    ),
    # ------------------------------------------------------------------ exact solutions of values
    Fault(
        "smooth.outer_term_without_x", SMOOTH, 'return self._ask("outer_grad_x", z, x) + self', "return self",
        SOLUTIONS + "differences",
    ),
    Fault(
        "smooth.unsolved_taken_for_solved", SMOOTH, "if not residual <= 100 * self.tolerance:",
        "if False:", SOLUTIONS + "not_a_number",
    ),
    # ------------------------------------------------------------------ variants
    Fault(
        "newsgroups.always_half", "datasets/newsgroups20.py", "(1 if self.half else 2)", "1",
        REAL + "mean_or_its_half",
    ),
    Fault(
        "mnist.uniform_never_zero", "datasets/mnist_cleaning.py",
        "stream.integers(0, 10, size=len(wrong))", "stream.integers(1, 10, size=len(wrong))",
        REAL + "shifted_or_replaced",
    ),
    # ------------------------------------------------------------------ merged results, figures
    Fault("merged.rest_of_a_run_counts", RUNS, '.transform("min") == 0', '.transform("min") >= 0', TABLES),
    Fault("merged.oldest_run_counts", RUNS, '["date"].transform("max")', '["date"].transform("min")', TABLES),
    Fault("merged.cores_of_machines_mixed", RUNS, '"system-cpus": "cores",', "", TABLES),
    Fault(
        "figures.dots_in_names", FIGURES, '"[^A-Za-z0-9_=+-]+"', '"[^A-Za-z0-9_=+.-]+"',
        "tests/tools/test_figures.py",
    ),
    Fault(
        "figures.names_that_collide", FIGURES, "if safe == text and len(safe) <= LONGEST:",
        "if True:", "tests/tools/test_figures.py",
    ),
)  # fmt: skip
