"""Cost to a target: when each run first got there, how often runs do, and what that is expected to cost.

A run that never reaches the target is a failure with infinite cost; it is never left out. Costs are samples of the
ledger or seconds of solver time, read at recorded rows: the first row at or below the target counts, so that a cost is
never too small, and too large by at most the distance of two rows.
"""

import numpy as np
import pandas as pd

from benchmark_utils.statistics.intervals import LEVEL, of_median, of_ratio, of_share
from benchmark_utils.statistics.labels import PREFIX, told_apart, whole_runs

#: What a target may be set on, and what it may be paid in.
METRICS = {"h − h*": "objective_h_gap", "‖∇h‖²": "objective_value"}
COSTS = {"samples": "objective_n_samples", "seconds": "time", "iterations": "objective_n_iter"}


def runs_to_target(df, target, metric="objective_h_gap", cost="objective_n_samples"):
    """Return one row for each run: its cost to the target and all that it spent.

    Parameters
    ----------
    df : pandas.DataFrame
        Results of benchopt.
    target : float
        Largest value of ``metric`` that counts as reached.
    metric, cost : str
        Columns of ``df``.

    Returns
    -------
    pandas.DataFrame
        Columns of the run's names and identity (`labels`), ``idx_rep``, ``reached`` (bool), ``cost`` (that of the first
        row at or below the target; infinite if there is none) and ``spent`` (``cost``, or the whole of a failure).
    """
    df = whole_runs(df)
    identity = told_apart(df)
    keys = [*PREFIX, *identity, "idx_rep"]
    df = df.fillna({c: "none" for c in identity}).sort_values("stop_val", kind="stable")
    known = df[metric] if metric in df.columns else pd.Series(np.nan, df.index)
    there = df[cost].where(known <= target, np.inf)  # NaN, as where a run diverged, is not at or below anything
    grouped = df.assign(_there=there, _spent=df[cost]).groupby(keys, sort=False)
    out = grouped.agg(cost=("_there", "min"), spent=("_spent", "max")).reset_index()
    out["reached"] = np.isfinite(out["cost"])
    out["spent"] = np.where(out["reached"], out["cost"], out["spent"])
    return out


def offered(df, columns):
    """Return the names in a dict of name to column whose column is known: seconds are not where machines differ."""
    return [name for name, column in columns.items() if df[column].notna().all()]


def expected_cost(spent, reached):
    """Return the expected cost of reaching the target by restarts until a run succeeds; infinite without a success.

    The sum of what all runs spent over the number of successes: N. Hansen, A. Auger, R. Ros, S. Finck, P. Posik,
    "Comparing results of 31 algorithms from the black-box optimization benchmarking BBOB-2009", GECCO 2010, ERT.
    """
    successes = np.sum(reached, axis=-1)
    with np.errstate(divide="ignore"):
        return np.where(successes > 0, np.sum(spent, axis=-1) / np.maximum(successes, 1), np.inf)


def names_of(runs):
    """Return the columns of `runs_to_target` that name what is compared: data set, rules, solver, seed, machine."""
    return [c for c in runs.columns if c not in ("idx_rep", "cost", "spent", "reached")]


def table(runs, level=LEVEL):
    """Return one row for each data set, rules and solver configuration (seed, machine): what the target costs.

    Parameters
    ----------
    runs : pandas.DataFrame
        From `runs_to_target`.
    level : float
        Of the intervals.

    Returns
    -------
    pandas.DataFrame
        ``runs``, ``reached``; ``rate`` with ``rate_low`` and ``rate_high`` (Wilson); ``median`` with ``median_low``
        and ``median_high`` and ``expected`` with ``expected_low`` and ``expected_high`` (bootstrap over the runs).
        Sorted by data set, rules and expected cost.
    """
    keys, rows = names_of(runs), []
    for key, group in runs.groupby(keys, sort=False):
        costs, spent, reached = (group[c].to_numpy() for c in ("cost", "spent", "reached"))
        row = dict(zip(keys, key, strict=True)) | {"runs": len(group), "reached": int(reached.sum())}
        for name, (value, low, high) in {
            "rate": of_share(int(reached.sum()), len(group), level),
            "median": of_median(costs, level),
            "expected": of_ratio(expected_cost, spent, reached, level),
        }.items():
            row |= {name: value, f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows).sort_values(["dataset_name", "objective_name", "expected"], kind="stable")
