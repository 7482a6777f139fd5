"""Made-up results whose statistics are known."""

import pandas as pd


def results(curves, **columns):
    """Return a frame like benchopt's: curves is dict of (dataset, solver, repetition) to list of (gap, samples)."""
    rows = [
        {
            "dataset_name": dataset, "objective_name": "Bilevel", "solver_name": solver, "idx_rep": rep, "stop_val": k,
            "objective_h_gap": gap, "objective_n_samples": samples, "time": samples / 100, "objective_n_iter": k,
            "objective_value": gap**2, **columns,
        }
        for (dataset, solver, rep), curve in curves.items()
        for k, (gap, samples) in enumerate(curve)
    ]  # fmt: skip
    return pd.DataFrame(rows)


#: Three solvers whose order is known.
FIELD = {
    (dataset, solver, rep): [(1.0, 0), (1e-3, samples * (rep + 1)), (1e-7, 4 * samples * (rep + 1))]
    for dataset in ("d", "e")
    for solver, samples in (("A", 10), ("B", 30), ("C", 90))
    for rep in range(5)
}
