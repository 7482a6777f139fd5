"""The overall picture: ranks and profiles over all problems, for a stated set of solvers."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmark_utils.statistics.comparison import TARGETS, cases_of, costs_by_case
from benchmark_utils.statistics.ranks import rank_intervals
from benchmark_utils.statistics.targets import runs_to_target


class Field(NamedTuple):
    """Which solvers are compared on which cases (data set and rules; seed and machine where there are several)."""

    cases: list  # names
    solvers: list  # full names of those that ran on every case
    left_out: dict  # full name of every other -> number of cases it ran on


def where_known(df, metric):
    """Return the rows of the data sets and rules on which a metric has a value at all; h* is not known everywhere."""
    if metric not in df.columns:
        return df.iloc[:0]
    return df[np.isfinite(df[metric]).groupby([df.dataset_name, df.objective_name]).transform("any")]


def widest(df):
    """Return the rows of the problems (data set and rules) that make the widest comparison.

    All of them where two solver configurations ran on all. Else those of one configuration, two problems or more, on
    which another one ran as well, so that configurations times problems are the most: the results of several papers
    share few configurations, and nothing else can be ranked over several problems.
    """
    at = ["dataset_name", "objective_name"]
    ran = {name: frozenset(zip(*map(own.get, at), strict=True)) for name, own in df.groupby("solver_name", sort=False)}
    n_on = lambda problems: sum(problems <= own for own in ran.values())
    everywhere = frozenset().union(*ran.values())
    offered = [problems for problems in set(ran.values()) if len(problems) > 1 and n_on(problems) > 1]
    if n_on(everywhere) > 1 or not offered:
        return df
    most = max(offered, key=lambda problems: (n_on(problems) * len(problems), len(problems), sorted(problems)))
    return df[[problem in most for problem in zip(*map(df.get, at), strict=True)]]


def field(df):
    """Return the `Field` of results: solvers are compared on all cases or not at all."""
    runs = runs_to_target(df, TARGETS[0])
    cases, solvers, _ = costs_by_case(runs)
    others = runs.assign(case=cases_of(runs)).groupby("solver_name", sort=False).case.nunique()
    return Field(cases, solvers, {name: int(n) for name, n in others.items() if name not in solvers})


def overall(df, target, metric="objective_h_gap", cost="objective_n_samples"):
    """Return the ranks of the solvers over all cases by their median cost to a target.

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
        One row for each solver that ran on every case, best first: ``solver_name``; ``reached`` of ``runs``, over all
        cases; ``rank``, the mean over cases, with ``rank_low`` and ``rank_high`` (bootstrap over the runs).
    """
    cases, solvers, costs = costs_by_case(runs_to_target(df, target, metric, cost))
    if not solvers:
        return pd.DataFrame(columns=["solver_name", "reached", "runs", "rank", "rank_low", "rank_high"])
    runs = [np.concatenate([costs[i][j] for i in range(len(cases))]) for j in range(len(solvers))]
    rank, low, high = rank_intervals(costs)
    out = pd.DataFrame({
        "solver_name": solvers, "reached": [int(np.isfinite(c).sum()) for c in runs], "runs": [len(c) for c in runs],
        "rank": rank, "rank_low": low, "rank_high": high,
    })  # fmt: skip
    return out.sort_values("rank", kind="stable").reset_index(drop=True)
