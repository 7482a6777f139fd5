"""The band of a curve over many repetitions: their 10 % and 90 % quantiles, as the caption says."""

import numpy as np
import pandas as pd
import pytest

import helpers

PLOT = helpers.load(helpers.ROOT / "plots" / "bilevel_curves.py")


@pytest.mark.parametrize(("n", "low", "high"), [(11, 1, 9), (21, 2, 18), (6, 0, 5)])
def test_the_band_leaves_out_a_tenth_of_the_repetitions_at_each_end(n, low, high):
    values = np.random.default_rng(0).permutation(n)
    same = dict(
        dataset_name="d", objective_name="o", solver_name="S", p_solver_backend="jax", time=0.0,
        objective_n_iter=0, objective_n_samples=0, objective_diverged=0,
    )  # fmt: skip
    runs = [dict(same, idx_rep=rep, objective_value=float(v)) for rep, v in enumerate(values)]
    df = pd.DataFrame(runs)
    (trace,) = PLOT.Plot().plot(df, "d", "o", "objective_value", "Seconds")
    assert (trace["y_low"], trace["y"], trace["y_high"]) == ([low], [(n - 1) / 2], [high])
