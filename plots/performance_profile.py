from benchopt import BasePlot

from benchmark_utils.statistics.comparison import TARGETS, costs_by_case, profile_curves
from benchmark_utils.statistics.labels import short_names
from benchmark_utils.statistics.styles import styles
from benchmark_utils.statistics.targets import COSTS, METRICS, offered, runs_to_target


class Plot(BasePlot):
    """Performance profile (Dolan, Moré 2002) over data sets, rules and targets, for the solvers that ran on all."""

    name = "Performance profile"
    type = "scatter"
    options = {"metric": list(METRICS), "cost": lambda df: offered(df, COSTS)}

    def plot(self, df, metric, cost):
        names, style = short_names(df), styles(df, by_run=False)
        solvers, steps, shares = profile_curves(df, TARGETS, METRICS[metric], COSTS[cost])
        out = []
        for solver, share in zip(solvers, shares, strict=True):
            label = names[solver]
            xs, ys = [], []
            for k, (tau, y) in enumerate(zip(steps, share, strict=True)):  # a step function, corners written out
                if k:
                    xs.append(float(tau))
                    ys.append(float(share[k - 1]))
                xs.append(float(tau))
                ys.append(float(y))
            out.append(dict(x=xs, y=ys, label=label, **style(solver)))
        return out

    def get_metadata(self, df, metric, cost):
        cases, solvers, _ = costs_by_case(runs_to_target(df, TARGETS[0], METRICS[metric], COSTS[cost]))
        left_out = df.solver_name.nunique() - len(solvers)
        targets = ", ".join(f"{t:g}" for t in TARGETS)
        return {
            "title": f"{len(cases)} cases (data set and rules), targets {targets} on {metric}; {len(solvers)} solvers"
            + (f", {left_out} left out that did not run on all" if left_out else ""),
            "xlabel": f"τ: {cost} over those of the best solver",
            "ylabel": "share of cases and targets reached within τ",
        }
