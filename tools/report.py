"""Write a report of a result file for a paper: its figures and its LaTeX tables, one file each.

Usage: python -m tools.report [outputs/file.parquet] [--format pdf] [--target 1e-4] [--folder outputs/report]

Figures are those of `tools.figures`, against samples and, where all runs were on one machine, seconds; tables are those
of `tools.tables`, in samples. Formats are pdf, svg and png.
"""

import argparse
from pathlib import Path

from benchmark_utils.statistics.curves import axes
from benchmark_utils.statistics.final import read_rows
from tools import figures, tables, write_utf8
from tools.summary import OUTPUTS, newest


def write(df, folder, stem, form="pdf", target=1e-4):
    """Write the figures and tables of results; return their paths.

    Parameters
    ----------
    df : pandas.DataFrame
        Results of benchopt.
    folder : Path
    stem : str
        What the file names begin with.
    form : {"pdf", "svg", "png"}
    target : float
        Of the tables: largest h - h* that counts as reached, or squared stationarity where h* is not known.
    """
    written = []
    for x_axis in axes(df):
        if x_axis != "Outer iterations":
            written += figures.write(df, folder, stem, x_axis=x_axis, form=form)
    known = "objective_h_gap" in df.columns and df.objective_h_gap.notna().any()
    return written + tables.write(df, folder, stem, target, "objective_h_gap" if known else "objective_value")


def main(arguments=None):
    """Write what is asked for and print the paths."""
    parser = argparse.ArgumentParser(prog="python -m tools.report", description=__doc__.split("\n\n")[0])
    parser.add_argument("file", nargs="?", type=Path, help="a result file; the newest where left out")
    parser.add_argument("--format", default="pdf", choices=figures.FORMATS)
    parser.add_argument("--target", type=float, default=1e-4)
    parser.add_argument("--folder", type=Path, default=OUTPUTS / "report")
    chosen = parser.parse_args(arguments)
    path = chosen.file or newest()
    for written in write(read_rows(path), chosen.folder, path.stem, chosen.format, chosen.target):
        print(written)


if __name__ == "__main__":
    write_utf8()
    main()
