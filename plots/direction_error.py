from benchopt import BasePlot

from benchmark_utils.statistics.curves import CAPTION, LABELS, axes, traces
from benchmark_utils.statistics.labels import short_names
from benchmark_utils.statistics.styles import colour

#: What is drawn -> its column; docs/statistics.md says what they are.
PARTS = {
    "the whole error  ‖d − ∇h‖": "objective_direction_error",
    "inner bias: z instead of z*": "objective_direction_inner",
    "linear system: v instead of v*": "objective_direction_linear",
    "noise: mini-batches and averages": "objective_direction_noise",
    "linear system and noise together": "objective_direction_rest",
    "the gradient  ‖∇h‖": "objective_direction_gradient",
}


def shown(df):
    """Return what a page offers: one part of all methods, or all parts of one."""
    if "objective_direction_error" not in df.columns:
        return list(PARTS)
    names = short_names(df)
    return [*PARTS, *sorted(names[s] for s in df[df.objective_direction_error.notna()].solver_name.unique())]


class Plot(BasePlot):
    """Where the error of the outer direction comes from; of runs with the rule diagnose=True."""

    name = "Direction error"
    type = "scatter"
    options = {"dataset": ..., "objective": ..., "shown": shown, "x_axis": axes}

    def plot(self, df, dataset, objective, shown, x_axis):
        if "objective_direction_error" not in df.columns:
            return []
        if shown in PARTS:
            return traces(df, dataset, objective, PARTS[shown], x_axis)
        solver = next(full for full, short in short_names(df).items() if short == shown)
        out = []
        for k, (part, column) in enumerate(PARTS.items()):
            for trace in traces(df, dataset, objective, column, x_axis, solver):
                more = trace["label"].removeprefix(shown)  # seed and machine, where there are several
                out.append(trace | dict(label=part + more, color=colour(k), marker=k, dash="-"))
        return out

    def get_metadata(self, df, dataset, objective, shown, x_axis):
        labels = {"xlabel": LABELS[x_axis], "ylabel": "norm of a part of the outer direction"}
        if "objective_direction_error" not in df.columns:
            return labels | {"title": 'nothing recorded; run with -o "Bilevel[diagnose=True]"'}
        return labels | {"title": f"{dataset}<br>{objective}<br>{shown}; {CAPTION}"}
