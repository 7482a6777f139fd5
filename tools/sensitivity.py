"""Show how much tuned methods depend on their hyper-parameters and on the number of trials.

Usage: python -m tools.sensitivity SOLVER... PROBLEM [--storage URL] [--folder outputs/sensitivity] [--format pdf]

Reads the tuner's studies (docs/tuning.md). A table is printed; figures and one page that is read offline are written.
Only trials of the first round over the whole ranges count, since later rounds gather around the best.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import matplotlib
import matplotlib.figure
import numpy as np
import optuna
import pandas as pd
import plotly.graph_objects as go

from benchmark_utils.files.whole import replacing, write_whole
from benchmark_utils.statistics.styles import colour
from benchmark_utils.tuning.sensitivity import best_after, good_values
from benchmark_utils.tuning.study import finished
from tools import write_utf8
from tools.figures import FORMATS, SETTINGS, draw, file_name
from tools.summary import OUTPUTS

#: Samplers whose trials may come in any order.
EXCHANGEABLE = ("qmc", "random")

#: Numbers of trials in the printed table.
SHOWN_TRIALS = (1, 2, 4, 8, 16, 32, 64, 128)


class Tuned(NamedTuple):
    """The trials of one solver."""

    label: str
    outcomes: list  # of the first round, the start of the ranges first

    def curve(self):
        """Return (numbers of trials, their `best_after`, shape (n, 4))."""
        first, *others = [o.score for o in self.outcomes]
        trials = np.arange(1, len(others) + 2)
        return trials, np.array([best_after(first, others, k) for k in trials])


def read(storage, solver, problem):
    """Return the `Tuned` of a solver: of several studies the one with most trials.

    Parameters
    ----------
    storage : str
        URL as Optuna takes it.
    solver, problem : str
        Names as the tuner's studies have them: those of the class and of the problem.

    Raises
    ------
    SystemExit
        Where there is no such study, or its trials may not come in any order.
    """
    names = optuna.get_all_study_names(storage)
    parts = {name: name.split("; ") for name in names}
    mine = [n for n, p in parts.items() if [p[0].lower(), p[1].lower()] == [problem.lower(), solver.lower()]]
    if not mine:
        there = sorted({" ".join(p[1::-1]) for p in parts.values()}) or ["none"]
        raise SystemExit(
            f"there is no study of {solver} on {problem}; run `python -m tools.tune {solver} {problem}` first. "
            f"There are: {', '.join(there)}."
        )
    usable = [n for n in mine if any(f"sampler={word}" in parts[n] for word in EXCHANGEABLE)]
    if not usable:
        raise SystemExit(
            f"{solver} was tuned on {problem} with another sampler than {' or '.join(EXCHANGEABLE)}: its later trials "
            "depend on the earlier ones, so that fewer trials cannot be told from them."
        )
    found = [finished(optuna.load_study(study_name=name, storage=storage)) for name in usable]
    outcomes = max(([o for i, o in trials if i == 0] for trials in found), key=len)
    if len(outcomes) < 2:
        raise SystemExit(f"fewer than two trials of {solver} on {problem} have finished.")
    return Tuned(parts[usable[0]][1], outcomes)


def table(tuned):
    """Return one row for each number of trials: the median best score of each solver, and that of the expected one."""
    rows = []
    for one in tuned:
        trials, best = one.curve()
        for k in sorted({*(k for k in SHOWN_TRIALS if k <= len(trials)), len(trials)}):
            expected, low, median, high = best[k - 1]
            rows.append(
                {"solver": one.label, "trials": k, "expected": expected, "10 %": low, "median": median, "90 %": high}
            )
    return pd.DataFrame(rows)


def parameters(tuned):
    """Return one row for each hyper-parameter: its value in the best trial and those of the best quarter."""
    rows = []
    for one in tuned:
        best = min(one.outcomes, key=lambda o: o.score)
        for name in best.values:
            good, every = good_values(one.outcomes, name), [o.values[name] for o in one.outcomes]
            words = isinstance(best.values[name], str)
            row = {"solver": one.label, "parameter": name, "best": best.values[name]}
            row["best quarter"] = ", ".join(sorted(set(good))) if words else f"{min(good):.3g} to {max(good):.3g}"
            row["tried"] = ", ".join(sorted(set(every))) if words else f"{min(every):.3g} to {max(every):.3g}"
            rows.append(row)
    return pd.DataFrame(rows)


def budget_traces(tuned):
    """Return the curves of the best score against the number of trials, as `figures.draw` takes them."""
    out = []
    for i, one in enumerate(tuned):
        trials, best = one.curve()
        known = np.isfinite(best[:, 1:]).all(axis=1)
        x, (low, median, high) = trials[known].tolist(), best[known, 1:].T.tolist()
        out.append(dict(x=x, y=median, y_low=low, y_high=high, label=one.label, color=colour(i), dash="-"))
    return [trace for trace in out if trace["x"]]


def parameter_traces(one, name, color):
    """Return ([points of one hyper-parameter], what is written along its axis); words become whole numbers."""
    pairs = [(o.values[name], o.score) for o in one.outcomes if np.isfinite(o.score)]
    words = sorted({str(x) for x, _ in pairs}) if any(isinstance(x, str) for x, _ in pairs) else []
    label = name + (f" ({', '.join(f'{i}: {word}' for i, word in enumerate(words))})" if words else "")
    x = [words.index(str(x)) if words else float(x) for x, _ in pairs]
    return [dict(x=x, y=[y for _, y in pairs], label=one.label, color=color, dash="")], label


def figures(tuned):
    """Return list of (parts of the file's name, traces, labels)."""
    score = "score: h at the end, the median over seeds"
    title = "best of so many trials: median, 10 % to 90 %"
    out = [(("trials",), budget_traces(tuned), {"xlabel": "trials", "ylabel": score, "title": title})]
    for i, one in enumerate(tuned):
        for name in one.outcomes[0].values:
            traces, label = parameter_traces(one, name, colour(i))
            failed = sum(not np.isfinite(o.score) for o in one.outcomes)
            title = f"{one.label}: {len(one.outcomes)} trials, {failed} of them diverged and are not drawn"
            out.append(((one.label, name), traces, {"xlabel": label, "ylabel": score, "title": title}))
    return [figure for figure in out if figure[1]]


def page(made):
    """Return a page of all figures that is read offline."""
    parts = []
    for k, (_, traces, labels) in enumerate(made):
        figure = go.Figure()
        for t in traces:
            mode = "lines" if t["dash"] else "markers"
            if "y_low" in t:
                band = dict(x=t["x"] + t["x"][::-1], y=t["y_high"] + t["y_low"][::-1], fill="toself", opacity=0.2)
                figure.add_scatter(**band, mode="none", fillcolor=t["color"], showlegend=False, hoverinfo="skip")
            figure.add_scatter(x=t["x"], y=t["y"], mode=mode, name=t["label"], marker_color=t["color"])
        positive = all(value > 0 for t in traces for value in t["y"])
        scale = {"x": all(x > 0 for t in traces for x in t["x"]), "y": positive}
        figure.update_layout(
            title=labels["title"], xaxis_title=labels["xlabel"], yaxis_title=labels["ylabel"], template="simple_white",
            **{f"{axis}axis_type": "log" if log else "linear" for axis, log in scale.items()},
        )  # fmt: skip
        parts.append(figure.to_html(full_html=False, include_plotlyjs=k == 0))
    return f'<!doctype html>\n<meta charset="utf-8">\n<title>Sensitivity</title>\n{"".join(parts)}\n'


def write(tuned, folder, stem, form="pdf"):
    """Write the figures and the page; return their paths.

    Parameters
    ----------
    tuned : list of Tuned
    folder : Path
    stem : str
        What the file names begin with.
    form : {"pdf", "svg", "png"}
    """
    folder.mkdir(parents=True, exist_ok=True)
    made, written = figures(tuned), []
    for parts, traces, labels in made:
        path = folder / f"{file_name(stem, *parts)}.{form}"
        with matplotlib.rc_context(SETTINGS), replacing(path) as beside:
            figure = matplotlib.figure.Figure(figsize=(5, 3.5))
            draw(figure, traces, labels)
            figure.savefig(beside, format=form, bbox_inches="tight")
        written.append(path)
    path = folder / f"{file_name(stem)}.html"
    write_whole(path, page(made))
    return [*written, path]


def main(arguments=None):
    """Print the tables and write the figures that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m tools.sensitivity", description=__doc__.split("\n\n")[0])
    parser.add_argument("solver", nargs="+", help="solvers that were tuned")
    parser.add_argument("problem", help="the problem they were tuned on")
    parser.add_argument("--storage", default=f"sqlite:///{OUTPUTS / 'tuning.db'}")
    parser.add_argument("--folder", type=Path, default=OUTPUTS / "sensitivity")
    parser.add_argument("--format", default="pdf", choices=FORMATS)
    chosen = parser.parse_args(arguments)
    database = Path(chosen.storage.removeprefix("sqlite:///"))
    if chosen.storage.startswith("sqlite:///") and not database.exists():
        raise SystemExit(f"there is no {database}; run `python -m tools.tune` first.")
    tuned = [read(chosen.storage, solver, chosen.problem) for solver in chosen.solver]
    print(f"\nBest score after so many trials on {chosen.problem} (first round; the start of the ranges comes first)\n")
    print(table(tuned).to_string(index=False, float_format="{:.6g}".format))
    print("\nValues of the best trial and of the best quarter\n")
    print(parameters(tuned).to_string(index=False), "\n")
    for path in write(tuned, chosen.folder, chosen.problem, chosen.format):
        print(path)


if __name__ == "__main__":
    write_utf8()
    main()
