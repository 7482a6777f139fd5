"""Print a table of the newest results: where each solver started and ended on each problem.

Usage: python -m tools.summary [outputs/file.parquet]
"""

import sys
from pathlib import Path

from benchopt.results import read_results

from benchmark_utils.statistics.labels import short_names

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


def summary(df):
    """Return one row for each data set and solver: medians over repetitions of the last rows."""
    df = df.assign(
        problem=df.dataset_name.str.split("[").str[0],
        solver=df.solver_name.map(short_names(df)),
    )
    # Ended by benchopt's timeout (or by the solver itself) before the budget was spent.
    spent = (df.time >= df.p_obj_max_seconds) | (df.objective_n_samples >= df.p_obj_max_samples)
    df["cut"] = ~spent & (df.objective_diverged == 0)
    runs = df.groupby(["problem", "solver", "idx_rep"])
    last = runs.agg(
        start=("objective_value", "first"),
        best=("objective_value", "min"),
        last=("objective_value", "last"),
        iterations=("objective_n_iter", "last"),
        samples=("objective_n_samples", "last"),
        seconds=("time", "last"),
        compile_s=("objective_compile_time", "last"),
        diverged=("objective_diverged", "max"),
        cut=("cut", "last"),
    )
    table = last.groupby(["problem", "solver"]).median()
    for name in ("diverged", "cut"):
        table[name] = last.groupby(["problem", "solver"])[name].sum()
    table.insert(0, "runs", last.groupby(["problem", "solver"]).size())
    return table.reset_index()


def main(path=None):
    """Print the summary of a result file."""
    path = Path(path) if path else newest()
    table = summary(read_results(path))
    formats = {"start": "{:.2e}", "best": "{:.2e}", "last": "{:.2e}", "seconds": "{:.2f}", "compile_s": "{:.1f}"}
    integers = dict.fromkeys(("iterations", "samples", "diverged", "cut"), "{:,.0f}")
    print(f"\nSquared stationarity ‖grad h‖², medians over repetitions ({path.name})\n")
    columns = {name: [form.format(v) for v in table[name]] for name, form in (formats | integers).items()}
    print(table.assign(**columns).to_string(index=False))
    page = path.with_name(f"benchmark_bilevel_{path.stem}.html")
    candidates = [page, *sorted(OUTPUTS.glob(f"*_{path.stem}.html"))]
    print(f"\nDashboard: {next((c for c in candidates if c.exists()), 'not rendered; run `benchopt plot .`')}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
