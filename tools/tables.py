"""Write what targets cost as LaTeX tables (booktabs) for a paper: one file a data set and rules.

Usage: python -m tools.tables [outputs/file.parquet] [--target 1e-4] [--metric objective_h_gap] [--cost samples]

Each row is a solver: runs that reached the target, expected and median cost and rank with 95 % bootstrap intervals; see
docs/statistics.md. A page that includes a table needs the package booktabs.
"""

import argparse
import re
from pathlib import Path

from benchmark_utils.files.whole import write_whole
from benchmark_utils.statistics.comparison import leaderboard, readable
from benchmark_utils.statistics.final import read_rows
from benchmark_utils.statistics.labels import short_names
from benchmark_utils.statistics.targets import COSTS
from tools import write_utf8
from tools.figures import file_name
from tools.summary import OUTPUTS, newest

#: What LaTeX reads as something else than itself.
SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "∞": r"$\infty$",
}  # fmt: skip


def escape(text):
    """Return a text as LaTeX prints it."""
    return re.sub("|".join(map(re.escape, SPECIAL)), lambda found: SPECIAL[found[0]], str(text))


def latex(table, caption):
    """Return a booktabs table of a frame of texts."""
    line = lambda cells: " & ".join(map(escape, cells)) + r" \\"
    rows = [line(row) for row in table.itertuples(index=False)]
    return "\n".join([
        r"\begin{table}", r"  \centering", rf"  \caption{{{escape(caption)}}}",
        r"  \begin{tabular}{l" + "r" * (table.shape[1] - 1) + "}", r"    \toprule", "    " + line(table.columns),
        r"    \midrule", *(f"    {row}" for row in rows), r"    \bottomrule", r"  \end{tabular}", r"\end{table}", "",
    ])  # fmt: skip


def write(df, folder, stem, target=1e-4, metric="objective_h_gap", cost="samples"):
    """Write the tables of results; return their paths.

    Parameters
    ----------
    df : pandas.DataFrame
        Results of benchopt.
    folder : Path
    stem : str
        What the file names begin with.
    target : float
        Largest value of ``metric`` that counts as reached.
    metric : str
        Column of ``df``.
    cost : {"samples", "seconds", "iterations"}

    Raises
    ------
    SystemExit
        If the results have no such column.
    """
    if metric not in df.columns:
        raise SystemExit(
            f"there is no column {metric}; choose among {', '.join(df.filter(like='objective_').columns)}."
        )
    names, written = {part: short_names(df, part) for part in ("dataset_name", "objective_name")}, []
    folder.mkdir(parents=True, exist_ok=True)
    for (dataset, rules), chosen in df.groupby(["dataset_name", "objective_name"]):
        table = readable(leaderboard(chosen, target, metric, COSTS[cost]), chosen)
        caption = f"{dataset}, {rules}: {cost} until {metric.removeprefix('objective_')} is at most {target:g}"
        parts = (stem, names["dataset_name"][dataset], names["objective_name"][rules])
        path = folder / f"{file_name(*parts, f'{target:g}', cost)}.tex"
        write_whole(path, latex(table, caption))
        written.append(path)
    return written


def main(arguments=None):
    """Write the tables that are asked for and print their paths."""
    parser = argparse.ArgumentParser(prog="python -m tools.tables", description=__doc__.split("\n\n")[0])
    parser.add_argument("file", nargs="?", type=Path, help="a result file; the newest where left out")
    parser.add_argument("--target", type=float, default=1e-4)
    parser.add_argument("--metric", default="objective_h_gap")
    parser.add_argument("--cost", default="samples", choices=list(COSTS))
    parser.add_argument("--folder", type=Path, default=OUTPUTS / "tables")
    chosen = parser.parse_args(arguments)
    path = chosen.file or newest()
    for table in write(read_rows(path), chosen.folder, path.stem, chosen.target, chosen.metric, chosen.cost):
        print(table)


if __name__ == "__main__":
    write_utf8()
    main()
