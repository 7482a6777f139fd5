"""Curves over repetitions: what they are drawn against, their medians and bands."""

import math

import numpy as np

from benchmark_utils.statistics.labels import short_names, told_apart, whole_runs
from benchmark_utils.statistics.styles import styles
from benchmark_utils.statistics.targets import offered

#: Axis of a plot -> column of the results, and what is written beside it.
AXES = {
    "Oracle samples": "objective_n_samples",
    "Seconds": "time",
    "Outer iterations": "objective_n_iter",
}
LABELS = {
    "Oracle samples": "oracle samples (gradients, Hessian-vector and cross products, values)",
    "Seconds": "solver time [s] (device synchronised; no compilation, no evaluation)",
    "Outer iterations": "outer iterations",
}

#: Metrics of which more is better; a diverged run counts as minus infinity there, as infinity everywhere else.
MORE_IS_BETTER = ("objective_hypergrad_cosine", "objective_weights_auc")

#: Quantiles of the band.
BAND = (0.1, 0.9)
CAPTION = "median over repetitions; band: their 10 % and 90 % quantiles, rounded outwards to a repetition"


def axes(df):
    """Return the axes that can be drawn."""
    return offered(df, AXES)


def quantile_curve(runs, metric, axis):
    """Return (x, low, median, high) of one solver over its repetitions.

    Repetitions line up on the outer iteration count; a count is drawn when every repetition has a row there, where
    a repetition that diverged counts as the worst from its last row on.
    """
    # A loop on the host that is ended inside an iteration has two rows at its last whole one; the first is drawn.
    runs = runs.sort_values(axis, kind="stable").drop_duplicates(["idx_rep", "objective_n_iter"])
    worst = -np.inf if metric in MORE_IS_BETTER else np.inf
    table = runs.pivot(index="objective_n_iter", columns="idx_rep", values=metric)
    for rep, run in runs[runs.idx_rep.isin(runs.idx_rep[runs.objective_diverged > 0])].groupby("idx_rep"):
        table.loc[table.index >= run.objective_n_iter.max(), rep] = worst
    table = table.dropna()
    x = runs.groupby("objective_n_iter")[axis].median().reindex(table.index).to_numpy()
    if table.empty:
        return x, x, x, x
    values = np.sort(table.to_numpy(), axis=1)
    median = np.median(values, axis=1)
    low = values[:, math.floor(BAND[0] * (values.shape[1] - 1))]
    high = values[:, math.ceil(BAND[1] * (values.shape[1] - 1))]
    keep = np.isfinite(median)
    # A band that reaches infinity is drawn up to the edge of the curve.
    low = np.where(np.isfinite(low), low, median[keep].min(initial=np.inf))
    high = np.where(np.isfinite(high), high, median[keep].max(initial=-np.inf))
    return x[keep], low[keep], median[keep], high[keep]


def traces(df, dataset, objective, metric, x_axis, only=None):
    """Return the curves of a metric on one data set under one set of rules, as benchopt's plots take them.

    Parameters
    ----------
    df : pandas.DataFrame
        Results of benchopt.
    dataset, objective : str
        Full names.
    metric : str
        Column; solvers that have no number there are left out.
    x_axis : str
        Key of `AXES`.
    only : str, optional
        Full name of the one solver whose curves are wanted.

    Returns
    -------
    list of dict
        x, y, label, the style, and y_low and y_high where there are repetitions; one for each solver, seed and machine.
    """
    df = whole_runs(df)
    names, identity, style = short_names(df), told_apart(df), styles(df)
    df = df[(df.dataset_name == dataset) & (df.objective_name == objective)]
    # Frames of results are wide: the few columns that are drawn, before they are grouped.
    drawn = {"solver_name", "idx_rep", "objective_n_iter", "objective_diverged", metric, AXES[x_axis], *identity}
    df = df[[c for c in df.columns if c in drawn]].fillna({c: "none" for c in identity})
    out = []
    for (solver, *others), runs in df.groupby(["solver_name", *identity]):
        if only not in (None, solver) or not runs[metric].notna().any():
            continue
        x, low, median, high = quantile_curve(runs, metric, AXES[x_axis])
        band = {} if runs.idx_rep.nunique() == 1 else {"y_low": low.tolist(), "y_high": high.tolist()}
        which = [f"{name}={value}" for name, value in zip(identity.values(), others, strict=True)]
        label = ", ".join([names[solver], *which])
        out.append(dict(x=x.tolist(), y=median.tolist(), label=label, **band, **style(solver, *others)))
    return out
