"""Comparisons of solvers over problems, from result frames: matrices of costs, profiles, leaderboards."""

import numpy as np
import pandas as pd

from benchmark_utils.statistics.labels import short_names
from benchmark_utils.statistics.profiles import performance_ratios, share_within, steps_of
from benchmark_utils.statistics.ranks import rank_intervals
from benchmark_utils.statistics.targets import names_of, runs_to_target, table

#: Targets on h − h* that are offered, from coarse to fine.
TARGETS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)

#: Columns of a leaderboard that is ready to be shown.
SHOWN = ("solver", "reached", "expected", "median", "rank")


def cases_of(runs):
    """Return the column of cases of `runs_to_target`: what solvers are compared on, data set, rules and identity."""
    return runs[[c for c in names_of(runs) if c != "solver_name"]].astype(str).agg(" | ".join, axis=1)


def costs_by_case(runs):
    """Return (cases, solvers, costs): ``costs[i][j]`` are the costs of the runs of solver j in case i.

    Solvers that lack a case are left out of the set, and stated by who is in it: a profile compares like with like.
    """
    runs = runs.assign(case=cases_of(runs))
    cases = list(runs.case.drop_duplicates())
    present = runs.groupby("solver_name", sort=False).case.nunique()
    solvers = [name for name in present.index if present[name] == len(cases)]
    groups = {key: group.cost.to_numpy() for key, group in runs.groupby(["case", "solver_name"], sort=False)}
    return cases, solvers, [[groups[case, solver] for solver in solvers] for case in cases]


def profile_curves(df, targets, metric, cost):
    """Return (solvers, thresholds, shares) of the performance profile over cases and targets, by median cost.

    Each target on each case is one problem of the profile.
    """
    matrices, common = [], None
    for target in targets:
        cases, solvers, costs = costs_by_case(runs_to_target(df, target, metric, cost))
        common = solvers
        matrices += [[np.sort(runs)[len(runs) // 2] for runs in row] for row in costs]
    ratios = performance_ratios(np.array(matrices, float).reshape(len(matrices), len(common)))
    steps = steps_of(ratios) if np.isfinite(ratios).any() else np.array([1.0])
    return common, steps, share_within(ratios, steps)


def leaderboard(df, target, metric="objective_h_gap", cost="objective_n_samples"):
    """Return the table of costs to a target with the rank of each solver among those of its case, and its interval."""
    runs = runs_to_target(df, target, metric, cost)
    out = table(runs)
    out["case"] = cases_of(out[names_of(runs)])
    runs["case"] = cases_of(runs)
    for _, group in runs.groupby("case", sort=False):
        _, solvers, costs = costs_by_case(group.drop(columns="case"))
        for solver, *values in zip(solvers, *rank_intervals(costs), strict=True):
            rows = (out.case == group.case.iloc[0]) & (out.solver_name == solver)
            out.loc[rows, ["rank", "rank_low", "rank_high"]] = values
    return out.drop(columns="case")


def readable(board, df):
    """Return a leaderboard with one text for a value and its interval, ready to be shown."""
    names = short_names(df)
    text = lambda value: "∞" if np.isinf(value) else f"{value:.3g}"
    span = lambda low, high: "" if np.isnan(low) else f" [{text(low)}, {text(high)}]"
    columns = {"solver": [names[name] for name in board.solver_name]}
    columns["reached"] = [f"{k} of {n}" for k, n in zip(board.reached, board.runs, strict=True)]
    for name in ("expected", "median", "rank"):
        values = zip(board[name], board[f"{name}_low"], board[f"{name}_high"], strict=True)
        columns[name] = [text(value) + span(low, high) for value, low, high in values]
    return pd.DataFrame(columns)[list(SHOWN)]
