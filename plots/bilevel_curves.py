import math

import numpy as np
from benchopt import BasePlot
from pandas.api.types import is_numeric_dtype

from benchmark_utils.statistics.labels import short_names, told_apart, whole_runs
from benchmark_utils.statistics.targets import offered

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
NOT_METRICS = (
    "objective_name", "objective_diverged", "objective_compile_time", "objective_spent_samples",
    "objective_spent_seconds",
)  # fmt: skip
TITLES = {
    "objective_value": "squared stationarity  ‖∇h(x)‖²",
    "objective_h": "h(x) at the exact inner solution",
    "objective_h_gap": "h(x) − h*",
    "objective_inner_gap": "inner gap  ‖z − z*(x)‖²",
    "objective_outer_loss": "F at the solver's own z",
    "objective_hypergrad_error": "relative error of the direction used",
    "objective_hypergrad_cosine": "cosine of the direction used with ∇h",
}
#: Metrics of which more is better; a diverged run counts as minus infinity there, as infinity everywhere else.
MORE_IS_BETTER = ("objective_hypergrad_cosine", "objective_weights_auc")
BAND = (0.1, 0.9)
CAPTION = "median over repetitions; band: their 10 % and 90 % quantiles, rounded outwards to a repetition"


def metrics(df):
    """Return the columns that can be drawn."""
    skip = (*NOT_METRICS, *AXES.values())
    return [
        c
        for c in df.columns
        if c.startswith("objective_") and c not in skip and not c.startswith("objective_n_") and is_numeric_dtype(df[c])
    ]


def axes(df):
    """Return the axes that can be drawn."""
    return offered(df, AXES)


def quantile_curve(runs, metric, axis):
    """Return (x, low, median, high) of one solver over its repetitions.

    Repetitions line up on the outer iteration count; a count is drawn when every repetition has a row there, where
    a repetition that diverged counts as the worst from its last row on.
    """
    worst = -np.inf if metric in MORE_IS_BETTER else np.inf
    # Loops on the host are ended in the middle of an iteration, with a second row at the count before it.
    runs = runs.drop_duplicates(["idx_rep", "objective_n_iter"])
    table = runs.pivot(index="objective_n_iter", columns="idx_rep", values=metric)
    for rep, run in runs.groupby("idx_rep"):
        if run.objective_diverged.max():
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


class Plot(BasePlot):
    """Any metric against samples, seconds or iterations: median and 10-90 % band over repetitions."""

    name = "Bilevel curves"
    type = "scatter"
    options = {"dataset": ..., "objective": ..., "metric": metrics, "x_axis": axes}

    def plot(self, df, dataset, objective, metric, x_axis):
        df = whole_runs(df)
        names, identity = short_names(df), told_apart(df)
        df = df[(df.dataset_name == dataset) & (df.objective_name == objective)]
        # Frames of results are wide: the few columns that are drawn, before they are grouped.
        drawn = {"solver_name", "idx_rep", "objective_n_iter", "objective_diverged", metric, AXES[x_axis], *identity}
        df = df[[c for c in df.columns if c in drawn]].fillna({c: "none" for c in identity})
        traces = []
        for (solver, *others), runs in df.groupby(["solver_name", *identity]):
            if not runs[metric].notna().any():
                continue
            x, low, median, high = quantile_curve(runs, metric, AXES[x_axis])
            band = {} if runs.idx_rep.nunique() == 1 else {"y_low": low.tolist(), "y_high": high.tolist()}
            which = [f"{name}={value}" for name, value in zip(identity.values(), others, strict=True)]
            label = ", ".join([names[solver], *which])
            traces.append(dict(x=x.tolist(), y=median.tolist(), label=label, **band, **self.get_style(label)))
        return traces

    def get_metadata(self, df, dataset, objective, metric, x_axis):
        label = TITLES.get(metric, metric.removeprefix("objective_").replace("_", " "))
        return {"title": f"{dataset}<br>{objective}<br>{CAPTION}", "xlabel": LABELS[x_axis], "ylabel": label}
