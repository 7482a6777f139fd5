"""Print a table of the newest results: where each solver started and ended on each problem.

Usage: python -m tools.summary [outputs/file.parquet]

One row for each data set, rules and solver configuration; only repetitions are taken together, by medians.
"""

import sys
from pathlib import Path

from benchmark_utils.statistics.final import read_rows
from benchmark_utils.statistics.table import as_text, summary
from tools import write_utf8

OUTPUTS = Path(__file__).parents[1] / "outputs"


def newest():
    """Return the newest result file.

    Raises
    ------
    SystemExit
        If there is none.
    """
    files = sorted(OUTPUTS.glob("*.parquet"), key=lambda path: path.stat().st_mtime)
    if not files:
        raise SystemExit(f"no result file in {OUTPUTS}; run `make run` or `benchopt run .` first.")
    return files[-1]


def main(path=None):
    """Print the summary of a result file."""
    path = Path(path) if path else newest()
    df = read_rows(path)
    table = as_text(summary(df))
    print(f"\nSquared stationarity ‖grad h‖² (start, best, last), h and h − h* at the end; medians ({path.name})")
    if df.objective_name.nunique() == 1:
        print(f"Rules: {df.objective_name.iloc[0]}")
        table = table.drop(columns="rules")
    print(f"\n{table.to_string(index=False)}")
    page = path.with_name(f"benchmark_bilevel_{path.stem}.html")
    candidates = [page, *sorted(OUTPUTS.glob(f"*_{path.stem}.html"))]
    print(f"\nDashboard: {next((c for c in candidates if c.exists()), 'not rendered; run `benchopt plot .`')}")


if __name__ == "__main__":
    write_utf8()
    main(*sys.argv[1:2])
