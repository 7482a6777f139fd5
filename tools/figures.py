"""Write the curves of a result file as figures for a paper: one file a data set, rules and metric.

Usage: python -m tools.figures [outputs/file.parquet] [--metric objective_value ...] [--x-axis Seconds] [--format pdf]

Formats are those of matplotlib: pdf (text stays text), svg, png. Without --metric the squared stationarity and h - h*
(or h where h* is not known) are drawn.
"""

import argparse
import re
import zlib
from pathlib import Path

import matplotlib.figure
import numpy as np
from benchopt.benchmark import Benchmark

from benchmark_utils.files.whole import replacing
from benchmark_utils.statistics.curves import AXES
from benchmark_utils.statistics.final import read_rows
from benchmark_utils.statistics.labels import short_names
from benchmark_utils.statistics.styles import colour
from tools import write_utf8
from tools.summary import OUTPUTS, newest

ROOT = Path(__file__).parents[1]
FORMATS = ("pdf", "svg", "png")

#: Of matplotlib: text stays text.
SETTINGS = {"pdf.fonttype": 42, "svg.fonttype": "none", "font.size": 9}

#: Up to so many curves the legend stands inside the axes, and bands are easily told apart.
FEW = 8

#: Longest name of a file, without its ending.
LONGEST = 150


def curves_plot():
    """Return the project's plot of curves, as benchopt loads it."""
    return next(plot for plot in Benchmark(ROOT).get_plots() if plot.name == "Bilevel curves")


def file_name(*parts):
    """Return a file name without an ending for texts, the same for no other texts.

    Dots, blanks and signs become hyphens: what follows a dot would be taken for the ending. Where that, or the length,
    loses something, a number made of the texts is appended.
    """
    text = "_".join(parts)
    safe = re.sub(r"[^A-Za-z0-9_=+-]+", "-", text).strip("-")
    if safe == text and len(safe) <= LONGEST:
        return safe
    return f"{safe[:LONGEST]}-{zlib.crc32(text.encode()):08x}"


def default_metrics(df):
    """Return the metrics drawn where none is asked for."""
    gap = "objective_h_gap" if "objective_h_gap" in df.columns and df.objective_h_gap.notna().any() else "objective_h"
    return ["objective_value", gap]


def draw(figure, traces, labels):
    """Draw the traces of a plot on a figure of matplotlib, logarithmic where the numbers allow it.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    traces : list of dict
        With x, y, label, y_low and y_high where there are repetitions, and color and dash of `styles` where they have
        them; an empty dash leaves points alone.
    labels : dict
        "xlabel" and "ylabel".
    """
    axes, many = figure.subplots(), len(traces) > FEW
    faint = 0.07 if many else 0.2
    for k, trace in enumerate(traces):
        style = dict(color=trace.get("color", colour(k)), linestyle=trace.get("dash", "-"))
        style["marker"] = "" if style["linestyle"] else "."  # points alone
        axes.plot(trace["x"], trace["y"], label=trace["label"], **style)
        if "y_low" in trace:
            axes.fill_between(trace["x"], trace["y_low"], trace["y_high"], color=style["color"], alpha=faint, lw=0)
    every = lambda key: np.concatenate([np.asarray(trace.get(key, ()), float) for trace in traces])
    if (every("y") > 0).all() and (every("y_low") > 0).all():
        axes.set_yscale("log")
    x = every("x")
    if (x > 0).any():
        axes.set_xscale("symlog", linthresh=x[x > 0].min())
    if (x >= 0).all():
        axes.set_xlim(left=0)
    axes.set_xlabel(labels["xlabel"])
    axes.set_ylabel(labels["ylabel"])
    if not many:
        axes.legend(fontsize="small")
        return
    # Beside the axes, in the order in which the curves end there.
    ends = [np.asarray(trace["y"], float)[-1:] for trace in traces]
    height = [end[0] if len(end) and np.isfinite(end[0]) else np.inf for end in ends]
    handles, names = axes.get_legend_handles_labels()
    order = sorted(range(len(names)), key=lambda k: -height[k])
    axes.legend(
        [handles[k] for k in order], [names[k] for k in order], fontsize="xx-small", labelspacing=0.2,
        loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False,
    )  # fmt: skip


def write(df, folder, stem, metrics=None, x_axis="Oracle samples", form="pdf"):
    """Write the figures of results; return their paths.

    Parameters
    ----------
    df : pandas.DataFrame
        Results of benchopt.
    folder : Path
    stem : str
        What the file names begin with.
    metrics : list of str, optional
        Columns ``objective_…``.
    x_axis : {"Oracle samples", "Seconds", "Outer iterations"}
    form : {"pdf", "svg", "png"}

    Raises
    ------
    SystemExit
        If the results have no such column.
    """
    plot, written = curves_plot(), []
    offered = plot.options["metric"](df)
    unknown = sorted(set(metrics or ()) - set(offered))
    if x_axis not in plot.options["x_axis"](df):
        raise SystemExit(f"{x_axis}: not known in these results; seconds of several machines are not compared.")
    if unknown:
        raise SystemExit(f"there is no column {', '.join(unknown)}; choose among {', '.join(offered)}.")
    names = {part: short_names(df, part) for part in ("dataset_name", "objective_name")}
    folder.mkdir(parents=True, exist_ok=True)
    for (dataset, rules), _ in df.groupby(["dataset_name", "objective_name"]):
        for metric in metrics or default_metrics(df):
            traces = plot.plot(df, dataset=dataset, objective=rules, metric=metric, x_axis=x_axis)
            if not traces:
                continue
            labels = plot.get_metadata(df, dataset=dataset, objective=rules, metric=metric, x_axis=x_axis)
            parts = (stem, names["dataset_name"][dataset], names["objective_name"][rules])
            path = folder / f"{file_name(*parts, metric.removeprefix('objective_'), x_axis.lower())}.{form}"
            with matplotlib.rc_context(SETTINGS):
                figure = matplotlib.figure.Figure(figsize=(5, 3.5))
                draw(figure, traces, labels)
                with replacing(path) as beside:
                    figure.savefig(beside, format=form, bbox_inches="tight")
            written.append(path)
    return written


def main(arguments=None):
    """Write the figures that are asked for and print their paths."""
    parser = argparse.ArgumentParser(prog="python -m tools.figures", description=__doc__.split("\n\n")[0])
    parser.add_argument("file", nargs="?", type=Path, help="a result file; the newest where left out")
    parser.add_argument("--metric", action="append", help="a column of the results, may be given several times")
    parser.add_argument("--x-axis", default="Oracle samples", choices=AXES)
    parser.add_argument("--format", default="pdf", choices=FORMATS)
    parser.add_argument("--folder", type=Path, default=OUTPUTS / "figures")
    chosen = parser.parse_args(arguments)
    path = chosen.file or newest()
    for figure in write(
        read_rows(path), chosen.folder, path.stem, chosen.metric, chosen.x_axis, chosen.format
    ):  # fmt: skip
        print(figure)


if __name__ == "__main__":
    write_utf8()
    main()
