"""Compare a solver with the reference results that travel with the repository.

    make compare SOLVER=Mine
    python -m tools.compare Mine --problem simulated
    python -m tools.compare Mine --no-run outputs/mine.parquet

Runs the solver on the problems of each file of outputs/reference/ by its rules, seed and repetitions; merges, prints
the leaderboard, and draws the figures and the page. Results that do not compare are refused with a sentence.
"""

import argparse
import datetime
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from benchopt.benchmark import Benchmark
from benchopt.plotting.generate_html import plot_benchmark_html
from benchopt.results.parquet import to_parquet

from benchmark_utils.files.whole import replacing
from benchmark_utils.statistics.comparison import TARGETS, leaderboard, readable
from benchmark_utils.statistics.final import read_rows
from benchmark_utils.statistics.labels import short_names
from benchmark_utils.statistics.targets import COSTS, METRICS, offered
from tools import figures, reference, write_utf8
from tools.comparable import comparable, listed, merged, why_no_seconds
from tools.dashboard import localise

ROOT = Path(__file__).parents[1]
OUTPUTS = ROOT / "outputs"

#: Least wall time of a run, in seconds; exact solutions of the checkpoints count in it.
TIMEOUT = 1000


# ---------------------------------------------------------------------- what compares
def read_all(paths):
    """Return dict of path to the results of each reference file; those that are refused are named and left out.

    Raises
    ------
    SystemExit
        With a sentence for each file, if all are refused.
    """
    found, refused = {}, []
    for path in paths:
        try:
            found[path] = reference.read(path)
        except SystemExit as refusal:
            refused.append(str(refusal))
    if not found:
        raise SystemExit("\n".join(refused))
    for sentence in refused:
        print(f"Left out: {sentence}", file=sys.stderr)
    return found


def chosen_problems(references, patterns):
    """Return dict of path to the results of the problems that are named, without the files that have none of them.

    Parameters
    ----------
    references : dict of Path to pandas.DataFrame
    patterns : list of str
        Names of problems, with or without their parameters; all problems where empty.

    Raises
    ------
    SystemExit
        For a name that no file has.
    """
    names = sorted({name for df in references.values() for name in df.dataset_name})
    asked = {p: [n for n in names if n == p or n.split("[")[0].lower() == p.lower()] for p in patterns}
    unknown = [pattern for pattern, found in asked.items() if not found]
    if unknown:
        raise SystemExit(f"the reference has no problem {', '.join(unknown)}; it has {', '.join(names)}.")
    wanted = {name for found in asked.values() for name in found} or set(names)
    chosen = {path: df[df.dataset_name.isin(wanted)] for path, df in references.items()}
    return {path: df for path, df in chosen.items() if not df.empty}


# ---------------------------------------------------------------------- run
def commands(known, solver, output, cached=False):
    """Return the arguments of `benchopt run` that run a solver as the reference was run, one list for each seed.

    Parameters
    ----------
    known : pandas.DataFrame
    solver : str
        As benchopt takes it after ``-s``.
    output : str
        Name of the result file.
    cached : bool
        Whether curves that benchopt has kept are taken: it does not see that ``tuned/`` or ``benchmark_utils`` changed.
    """
    out = []
    grid = known.groupby(["objective_name", "base_seed"], sort=False)
    for number, ((rules, seed), rows) in enumerate(grid):
        longest = max(float(rows.p_obj_max_seconds.max()), 0) if "p_obj_max_seconds" in rows.columns else 0
        timeout = TIMEOUT if np.isinf(longest) else max(TIMEOUT, int(10 * longest))
        problems = [word for name in rows.dataset_name.drop_duplicates() for word in ("-d", name)]
        out.append([
            "run", str(ROOT), "-s" if cached else "-f", solver, *problems, "-o", rules, "--seed", str(seed),
            "-r", str(rows.idx_rep.max() + 1), "--timeout", str(timeout), "--output", f"{output}_{number}",
            "--no-plot", "--no-display",
        ])  # fmt: skip
    return out


def run(known, solver, cached=False):
    """Run a solver as the reference was run, see `commands`; return the result files.

    Raises
    ------
    SystemExit
        If a run did not end as it should.
    """
    plain = re.sub(r"[^A-Za-z0-9]+", "-", solver).strip("-")
    name = f"run_{plain}_{datetime.datetime.now():%Y%m%d-%H%M%S}"
    written = []
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    for arguments in commands(known, solver, name, cached):
        command = [sys.executable, "-m", "tools.guarded", *arguments]
        status = subprocess.run(command, cwd=ROOT, env=os.environ | {"PATH": path}, check=False).returncode
        found = OUTPUTS / f"{arguments[arguments.index('--output') + 1]}.parquet"
        if status or not found.exists():
            kept = f" What had finished: compare it by --no-run {found}." if found.exists() else ""
            raise SystemExit(f"{solver} did not run to its end; what benchopt says above tells why.{kept}")
        written.append(found)
    return written


# ---------------------------------------------------------------------- show
def target_of(df, metric):
    """Return a target that half of the solvers reach: the median of their best values, rounded up to one digit."""
    best = df.groupby(["solver_name", "idx_rep"])[metric].min().groupby("solver_name").median()
    best = np.sort(best[best > 0])
    if not len(best):
        return TARGETS[0]
    middle = best[(len(best) - 1) // 2]
    digit = 10.0 ** np.floor(np.log10(middle))
    return float(f"{np.ceil(middle / digit) * digit:.0e}")


def boards(df, new_names, target=None):
    """Yield (title, table) of each problem and rules, for each cost that is known.

    Parameters
    ----------
    df : pandas.DataFrame
        From `merged`.
    new_names : set of str
        Full names of the solvers that are marked.
    target : float, optional
    """
    for (dataset, rules), case in df.groupby(["dataset_name", "objective_name"], sort=False):
        word = next((w for w, c in METRICS.items() if c in case.columns and case[c].notna().any()), None)
        if word is None:
            yield f"{dataset}, {rules}: no metric is known here", readable(leaderboard(case, TARGETS[0]), case)
            continue
        chosen = target or target_of(case, METRICS[word])
        for cost in offered(case, {name: COSTS[name] for name in ("samples", "seconds")}):
            board = leaderboard(case, chosen, METRICS[word], COSTS[cost])
            shown = readable(board, case)
            shown.insert(0, "", np.where(board.solver_name.isin(new_names), "*", ""))
            yield f"{dataset}\n{rules}\n{cost} until {word} ≤ {chosen:g}, 95 % intervals; * new", shown


def page(path, df):
    """Write the page of a result file of outputs/; return its path."""
    benchmark = Benchmark(ROOT)
    config = benchmark.get_plot_config()
    known = {str(axis).lower() for axis in offered(df, {"Seconds": "time"})}
    views = config.get("plot_configs", {}).items()
    asks = lambda view: any(str(value).lower() == "seconds" for value in view.values())
    config["plot_configs"] = {name: view for name, view in views if "seconds" in known or not asks(view)}
    plot_benchmark_html(path, benchmark, config, display=False)
    localise(OUTPUTS)
    return OUTPUTS / f"{benchmark.name}_{path.stem}.html"


def runs_of(solver, df, path):
    """Return the runs of a solver, by its name or by its file, in the results of a file.

    Raises
    ------
    SystemExit
        If there is none.
    """
    asked = solver.split("[")[0].lower()
    found = df.file_solver if asked.endswith(".py") and "file_solver" in df.columns else df.solver_name
    out = df[found.str.split("[").str[0].str.lower() == asked]
    if out.empty:
        raise SystemExit(f"{path} has no run of {solver}; it has {listed(df.solver_name)}.")
    return out


def compare(reference_path, known, solver, target=None, result=None, cached=False):
    """Compare a solver with one reference file and print what came of it.

    Parameters
    ----------
    reference_path : Path
    known : pandas.DataFrame
        The results of the file that are asked for.
    solver : str
        Name as benchopt takes it after ``-s``.
    target : float, optional
    result : Path, optional
        Results of the solver; it is run where left out.
    cached : bool
        See `commands`.
    """
    for path in [result] if result else run(known, solver, cached):
        new = comparable(known, runs_of(solver, read_rows(path), path))
        sentence = why_no_seconds(known, new)
        df = merged([reference_path, path], known, new, seconds=sentence is None)
        show(df, f"compare_{reference_path.stem}_{path.stem}", new, known, sentence, target)


def show(df, stem, new, known, sentence, target):
    """Print the boards of merged results, and write the file, the figures and the page of them."""
    names = set(df.solver_name[df.run_date.isin(set(new.run_date))])
    missing = set(known.dataset_name) - set(new.dataset_name)
    print(f"\n{listed(short_names(df)[name] for name in names)} among {df.solver_name.nunique()} solvers")
    for title, board in boards(df, names, target):
        print(f"\n{title}\n{board.to_string(index=False)}")
    if missing:
        print(f"\nNo run on {listed(missing)}: skipped, see above, or not in the file.")
    if sentence:
        print(f"\n{sentence}")
    folder = OUTPUTS / "compare"
    folder.mkdir(exist_ok=True)
    path = folder / f"{figures.file_name(stem)}.parquet"
    with replacing(path) as beside:
        to_parquet(df, beside)
    drawn = []
    for axis in ("Oracle samples", "Seconds")[: 1 if sentence else 2]:
        drawn += figures.write(df, folder / "figures", path.stem, x_axis=axis)
    print()
    written = page(path, df)
    print("\nFigures:", *drawn, f"Results: {path}", f"Page: {written}", sep="\n")


def main(arguments=None):
    """Compare what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tools.compare", description=__doc__.split("\n\n")[0])
    parser.add_argument("solver", help='as benchopt takes it after -s: Mine, "Mine[backend=jax,step_size=0.1]"')
    parser.add_argument("--problem", action="append", default=[], help="a problem of the reference; several times")
    parser.add_argument("--reference", type=Path, help="a result file; each of outputs/reference/ where left out")
    parser.add_argument("--no-run", type=Path, metavar="FILE", help="results of the solver that are there already")
    parser.add_argument("--cached", action="store_true", help="take curves that benchopt has kept of an earlier run")
    parser.add_argument(
        "--target", type=float, help="of the leaderboard; one that half of the solvers reach if left out"
    )
    chosen = parser.parse_args(arguments)
    if not chosen.solver:
        raise SystemExit("which solver? make compare SOLVER=Mine")
    paths = [chosen.reference] if chosen.reference else [reference.FOLDER / name for name in reference.manifest()]
    if not paths:
        raise SystemExit(
            f"there are no reference results in {reference.FOLDER} yet; give some by --reference FILE, or publish some "
            "(docs/compare.md)."
        )
    for path, known in chosen_problems(read_all(paths), chosen.problem).items():
        compare(path, known, chosen.solver, chosen.target, chosen.no_run, chosen.cached)


if __name__ == "__main__":
    write_utf8()
    main()
