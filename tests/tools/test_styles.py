"""A method has one colour wherever it is drawn; backends differ by dash and marker; forty methods are told apart."""

import itertools

import matplotlib.colors
import matplotlib.figure
import numpy as np
import pandas as pd
import pytest

import helpers
from benchmark_utils.statistics.styles import BACKENDS, COLOURS, styles
from tools import figures

PLOT = helpers.load(helpers.ROOT / "plots" / "direction_error.py")


def lab(colour):
    """Return a colour in CIELAB (D65)."""
    rgb = np.array(matplotlib.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    ratio = np.array(to_xyz) @ linear / [0.95047, 1, 1.08883]
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_colours_are_enough_and_differ():
    assert len(COLOURS) >= len(helpers.solver_classes())
    points = [lab(colour) for colour in COLOURS]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(points, 2)) > 22
    assert max(point[0] for point in points) < 85, "to be seen on white"


def results(solvers, **columns):
    """Return made-up results: dict of full name to (backend, batch size)."""
    rows = [
        dict(
            dataset_name="d", objective_name="o", solver_name=name, idx_rep=0, stop_val=k, time=float(k),
            p_solver_backend=backend, p_solver_batch_size=size, objective_n_iter=k, objective_n_samples=64 * k,
            objective_diverged=0, objective_value=1.0 / (k + 1), **columns,
        )
        for name, (backend, size) in solvers.items()
        for k in range(3)
    ]  # fmt: skip
    return pd.DataFrame(rows)


SOLVERS = {"A[jax]": ("jax", 64), "A[torch]": ("torch", 64), "A[jax,512]": ("jax", 512), "B[jax]": ("jax", 64)}


def test_a_method_has_one_colour_on_all_backends_and_a_dash_on_each():
    style = styles(results(SOLVERS))
    a, torch, other, b = (style(name) for name in SOLVERS)
    assert a["color"] == torch["color"]
    assert len({a["color"], other["color"], b["color"]}) == 3
    assert (a["dash"], a["marker"]) == (b["dash"], b["marker"]) == BACKENDS["jax"]
    assert (torch["dash"], torch["marker"]) == BACKENDS["torch"] != BACKENDS["jax"]


def test_forty_methods_have_forty_colours_and_keep_them_on_every_data_set():
    df = results({f"M{i}[jax]": ("jax", 64) for i in range(40)})
    style = styles(df)
    assert len({style(name)["color"] for name in df.solver_name}) == 40
    other = df[df.solver_name == "M7[jax]"].assign(dataset_name="e")
    plot = helpers.load(helpers.ROOT / "plots" / "bilevel_curves.py").Plot()
    both = pd.concat([df, other])
    (trace,) = plot.plot(both, "e", "o", "objective_value", "Seconds")
    assert trace["color"] == style("M7[jax]")["color"]


def test_machines_are_told_apart_by_colour():
    df = pd.concat([results({"A[jax]": ("jax", 64)}).assign(base_seed=seed) for seed in (1, 2)])
    style = styles(df)
    assert style("A[jax]", 1)["color"] != style("A[jax]", 2)["color"]
    assert styles(df, by_run=False)("A[jax]")["color"] == COLOURS[0]


def test_figures_draw_the_same_colours_and_dashes():
    traces = [{"x": [0, 1], "y": [1.0, 2.0], "label": name, **styles(results(SOLVERS))(name)} for name in SOLVERS]
    figure = matplotlib.figure.Figure()
    figures.draw(figure, traces, {"xlabel": "x", "ylabel": "y"})
    for line, trace in zip(figure.axes[0].lines, traces, strict=True):
        assert (line.get_color(), line.get_linestyle()) == (trace["color"], trace["dash"])


# ---------------------------------------------------------------------- the error of the direction
def diagnosed():
    """Return results with a split that is known for A alone."""
    parts = {column: 10.0**-k for k, column in enumerate(PLOT.PARTS.values())}
    df = results(SOLVERS, **parts)
    df.loc[df.solver_name == "B[jax]", list(parts)] = np.nan
    return df


def test_all_parts_of_a_method_or_one_of_all_methods_are_drawn():
    df, plot = diagnosed(), PLOT.Plot()
    shown = PLOT.shown(df)
    assert shown == [*PLOT.PARTS, "A (jax, batch_size=512)", "A (jax, batch_size=64)", "A (torch, batch_size=64)"]
    name = "inner bias: z instead of z*"
    one = plot.plot(df, dataset="d", objective="o", shown=name, x_axis="Oracle samples")
    assert sorted(trace["label"] for trace in one) == shown[-3:]
    assert all(trace["y"] == [0.1] * 3 for trace in one)
    every = plot.plot(df, dataset="d", objective="o", shown=shown[-1], x_axis="Outer iterations")
    assert [trace["label"] for trace in every] == list(PLOT.PARTS)
    assert [trace["y"][0] for trace in every] == pytest.approx([10.0**-k for k in range(6)])
    assert len({trace["color"] for trace in every}) == 6


def test_without_the_rule_the_page_says_what_to_do():
    df, plot = results(SOLVERS), PLOT.Plot()
    assert PLOT.shown(df) == list(PLOT.PARTS)
    assert plot.plot(df, "d", "o", PLOT.shown(df)[0], "Seconds") == []
    assert "diagnose=True" in plot.get_metadata(df, "d", "o", PLOT.shown(df)[0], "Seconds")["title"]
