"""Figures for a paper: one file each, whatever dots and signs the names have."""

import numpy as np
import pandas as pd
import pytest

from tools import figures


def results(dataset, rules):
    """Return made-up results of two repetitions."""
    rows = [
        dict(
            dataset_name=dataset, objective_name=rules, solver_name="SOBA[backend=jax]", idx_rep=rep, stop_val=k,
            time=0.5 * k, p_solver_backend="jax", p_obj_max_seconds=rules, p_dataset_a=dataset,
            objective_value=10.0 ** -(k + rep), objective_h=1.0 / (k + 1), objective_n_samples=64 * k,
            objective_n_iter=k, objective_compile_time=0.0, objective_diverged=0,
        )
        for rep in range(2)
        for k in range(4)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def df():
    """Return results of two data set variants and two rules whose names differ after a dot."""
    names = [(f"d[a={a}]", f"Bilevel[max_seconds={s}]") for a in (0.5, 0.25) for s in (0.5, 0.75)]
    return pd.concat([results(*pair) for pair in names], ignore_index=True)


def test_every_figure_has_a_file_of_its_own_and_its_name_no_dot_but_one(df, tmp_path):
    written = figures.write(df, tmp_path, "run.1", ["objective_value"], "Seconds", "svg")
    assert len(set(written)) == 4
    assert sorted(tmp_path.iterdir()) == sorted(written), "no part is left"
    for path in written:
        assert path.name.count(".") == 1
        text = path.read_text(encoding="utf-8")
        assert "SOBA (jax)" in text
        assert "solver time [s]" in text


@pytest.mark.slow
def test_without_a_metric_stationarity_and_h_are_drawn_and_h_star_is_used_where_it_is_known(df, tmp_path):
    one = df[df.dataset_name == "d[a=0.5]"]
    names = lambda frame: "".join(path.name for path in figures.write(frame, tmp_path, "r", form="png"))
    assert "_value_" in names(one)
    assert "_h_gap_" not in names(one)
    assert "_h_gap_" in names(one.assign(objective_h_gap=one.objective_h - 0.1))
    assert next(tmp_path.glob("*.png")).read_bytes()[:4] == b"\x89PNG"


def test_a_column_that_is_not_there_is_refused_with_those_that_are(df, tmp_path):
    with pytest.raises(SystemExit, match="there is no column objective_x; choose among objective_value, objective_h"):
        figures.write(df, tmp_path, "r", ["objective_x"])


def test_names_of_files_are_different_for_different_texts():
    texts = ["a=0.5", "a=0,5", "a=0-5", "a 0.5", "x" * 400, "x" * 401, "Größe"]
    names = [figures.file_name("run", text) for text in texts]
    assert len(set(names)) == len(texts)
    assert all(name.isascii() and "." not in name and len(name) < 200 for name in names)
    assert figures.file_name("run", "a=5") == "run_a=5"


def test_negative_values_are_drawn_on_a_linear_axis(df):
    import matplotlib.figure

    figure = matplotlib.figure.Figure()
    labels = {"xlabel": "x", "ylabel": "y"}
    figures.draw(figure, [{"x": [0, 1], "y": [-1.0, 2.0], "label": "a"}], labels)
    assert figure.axes[0].get_yscale() == "linear"
    figure = matplotlib.figure.Figure()
    figures.draw(figure, [{"x": [0, 1], "y": [1.0, 2.0], "label": "a"}], labels)
    assert figure.axes[0].get_yscale() == "log"
    assert np.isfinite(figure.axes[0].dataLim.bounds).all()


@pytest.mark.parametrize("n", [figures.FEW, 31])
def test_the_legend_of_many_curves_stands_beside_them_in_the_order_of_their_ends(n):
    import matplotlib.figure
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = matplotlib.figure.Figure(figsize=(5, 3.5))
    ends = [float((7 * k) % n) + 1 for k in range(n)]
    traces = [{"x": [0, 1], "y": [50.0, end], "label": f"{end:g}"} for end in ends]
    figures.draw(figure, traces, {"xlabel": "x", "ylabel": "y"})
    FigureCanvasAgg(figure).draw()
    axes = figure.axes[0]
    legend = axes.get_legend()
    beside = legend.get_window_extent().x0 >= axes.get_window_extent().x1 - 1
    assert beside == (n > figures.FEW)
    if beside:
        assert [float(text.get_text()) for text in legend.get_texts()] == sorted(ends, reverse=True)
