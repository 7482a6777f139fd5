"""The figures of the site, by plotly: one colour for each method, one dash for each backend."""

import json

import numpy as np
import plotly.graph_objects as go

from benchmark_utils.statistics.comparison import TARGETS, profile_curves
from benchmark_utils.statistics.labels import short_names
from benchmark_utils.statistics.overall import field, where_known
from benchmark_utils.statistics.styles import colour as palette
from benchmark_utils.statistics.targets import COSTS
from tools.figures import curves_plot, default_metrics
from tools.site_tables import base, key, known_metrics

DASHES = {"jax": "solid", "torch": "dash", "torch-compiled": "dot"}
OTHER_DASH = "dashdot"

#: Several configurations of a method under a backend differ by their markers.
MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross", "triangle-down", "pentagon", "hexagon")

#: Metrics drawn where results have them, after the ones drawn first; the dashboards offer every column.
METRICS_DRAWN = (
    "objective_value", "objective_h_gap", "objective_h", "objective_outer_loss", "objective_hypergrad_error",
    "objective_inner_gap", "objective_test_error_exact", "objective_test_error", "objective_weights_auc",
)  # fmt: skip

#: Curves shown where a figure is opened; the others are drawn when they are ticked.
SHOWN_AT_FIRST = 10


def styles(df):
    """Return dict of full solver name to its colour, dash and marker, the same on all pages."""
    rows = df.drop_duplicates("solver_name").sort_values("solver_name", kind="stable")
    colour = {method: palette(k) for k, method in enumerate(dict.fromkeys(map(base, rows.solver_name)))}
    out, seen = {}, {}
    for name in rows.solver_name:
        backend = backend_of(name)
        k = seen[base(name), backend] = seen.get((base(name), backend), -1) + 1
        out[name] = dict(
            colour=colour[base(name)], dash=DASHES.get(backend, OTHER_DASH), marker=MARKERS[k % len(MARKERS)]
        )
    return out


def backend_of(name):
    """Return the backend that a solver's full name states."""
    options = name.partition("[")[2].rstrip("]").split(",")
    return next((option.partition("=")[2] for option in options if option.startswith("backend=")), "")


def short(values):
    """Return numbers with five significant digits, None where there is none: pages stay small."""
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in np.asarray(values, float)]


def traces_of(traces, names, style):
    """Return plotly's traces, bands before curves, of the traces of a plot of benchopt.

    Parameters
    ----------
    traces : list of dict
        With x, y, label, and y_low and y_high where there are repetitions.
    names : dict
        Full solver name to short name; a label is a short name, with seed and machine after it where there are several.
    style : dict
        From `styles`.
    """
    bands, curves = [], []
    for trace in traces:
        full = next(n for n, s in names.items() if trace["label"] == s or trace["label"].startswith(s + ", "))
        look, meta = style[full], {"label": trace["label"], "solver": full}
        x = short(trace["x"])
        if "y_low" in trace:
            bands.append(go.Scatter(
                x=x + x[::-1], y=short(trace["y_low"]) + short(trace["y_high"])[::-1], fill="toself", mode="none",
                fillcolor=look["colour"], opacity=0.15, hoverinfo="skip", meta=meta | {"band": True},
            ))  # fmt: skip
        curves.append(go.Scatter(
            x=x, y=short(trace["y"]), name=trace["label"], mode="lines+markers", meta=meta,
            line={"color": look["colour"], "dash": look["dash"], "width": 2},
            marker={"symbol": look["marker"], "size": 5},
        ))  # fmt: skip
    return bands + curves


def figure(traces, x_title, y_title):
    """Return a plotly figure as plain data; the page gives it the colours of its theme."""
    layout = {"xaxis": {"title": {"text": x_title}}, "yaxis": {"title": {"text": y_title}}, "template": None}
    return json.loads(go.Figure(traces, layout).to_json())


def curves(df, style, first):
    """Return the curves of one data set under one set of rules, for the page's template.

    Parameters
    ----------
    df : pandas.DataFrame
        All results; ``dataset_name`` and ``objective_name`` of one.
    style : dict
        From `styles`.
    first : list of str
        Full solver names, best first; `SHOWN_AT_FIRST` of them are visible at first.

    Returns
    -------
    dict
        ``choices``: list of (title, list of (value, text)); ``figures``: dict of key to figure; ``first``: the solvers
        shown at first.
    """
    plot = curves_plot()
    (dataset,), (rules,) = df.dataset_name.unique(), df.objective_name.unique()
    offered = set(plot.options["metric"](df))
    drawn = [metric for metric in METRICS_DRAWN if metric in offered and np.isfinite(df[metric]).any()]
    drawn.sort(key=lambda metric: metric not in default_metrics(df))
    names, figures, titles = short_names(df), {}, {}
    for metric in drawn:
        for axis in plot.options["x_axis"](df):
            at = dict(dataset=dataset, objective=rules, metric=metric, x_axis=axis)
            labels = plot.get_metadata(df, **at)
            titles[metric] = labels["ylabel"]
            traces = traces_of(plot.plot(df, **at), names, style)
            figures[key(metric, axis)] = figure(traces, labels["xlabel"], labels["ylabel"])
    return {
        "choices": [
            ("Metric", [(metric, titles[metric]) for metric in drawn]),
            ("Against", [(axis, axis.lower()) for axis in plot.options["x_axis"](df)]),
        ],
        "figures": figures, "scales": True, "first": first[:SHOWN_AT_FIRST],
    }  # fmt: skip


def profiles(df, style, first):
    """Return the performance profiles over all problems on which a metric is known, as `curves` does."""
    figures, names, metrics = {}, short_names(df), []
    for label, metric in known_metrics(df).items():
        known = where_known(df, metric)
        if known.empty or not field(known).solvers:
            continue
        metrics.append((label, label))
        for cost_name, cost in COSTS.items():
            solvers, steps, shares = profile_curves(known, TARGETS, metric, cost)
            first = first or solvers  # where no solver has run on all problems, those of the first profile
            # The last step goes on to the edge.
            steps, shares = np.append(steps, 1.5 * steps[-1]), np.column_stack([shares, shares[:, -1]])
            traces = [
                go.Scatter(
                    x=short(steps), y=short(share), name=names[solver], mode="lines",
                    meta={"label": names[solver], "solver": solver},
                    line={
                        "color": style[solver]["colour"], "dash": style[solver]["dash"], "width": 2, "shape": "hv",
                    },
                )
                for solver, share in zip(solvers, shares, strict=True)
            ]  # fmt: skip
            drawn = figure(
                traces, f"τ: {cost_name} over those of the best solver", "share of problems and targets within τ"
            )
            drawn["layout"]["xaxis"] |= {"type": "log", "range": np.log10([0.97, max(2.0, steps[-1])]).tolist()}
            drawn["layout"]["yaxis"]["range"] = [-0.02, 1.02]
            figures[key(label, cost_name)] = drawn
    choices = [("Target on", metrics), ("Paid in", [(cost, cost) for cost in COSTS])]
    return {"choices": choices, "figures": figures, "scales": False, "first": first[:SHOWN_AT_FIRST]}
