from benchopt import BasePlot
from pandas.api.types import is_numeric_dtype

from benchmark_utils.statistics.curves import AXES, CAPTION, LABELS, axes, traces

NOT_METRICS = (
    "objective_name", "objective_diverged", "objective_compile_time", "objective_spent_samples",
    "objective_spent_seconds", "objective_peak_memory",
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


def metrics(df):
    """Return the columns that can be drawn."""
    skip = (*NOT_METRICS, *AXES.values())
    return [
        c
        for c in df.columns
        if c.startswith("objective_") and c not in skip and not c.startswith("objective_n_") and is_numeric_dtype(df[c])
    ]


class Plot(BasePlot):
    """Any metric against samples, seconds or iterations: median and 10-90 % band over repetitions."""

    name = "Bilevel curves"
    type = "scatter"
    options = {"dataset": ..., "objective": ..., "metric": metrics, "x_axis": axes}

    def plot(self, df, dataset, objective, metric, x_axis):
        return traces(df, dataset, objective, metric, x_axis)

    def get_metadata(self, df, dataset, objective, metric, x_axis):
        label = TITLES.get(metric, metric.removeprefix("objective_").replace("_", " "))
        return {"title": f"{dataset}<br>{objective}<br>{CAPTION}", "xlabel": LABELS[x_axis], "ylabel": label}
