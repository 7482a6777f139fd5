"""The table of results: one row for each data set, rules and solver configuration, seed and machine."""

import numpy as np
import pandas as pd

from benchmark_utils.statistics.labels import short_names, told_apart, whole_runs

#: Names in a result file -> columns of the table.
NAMES = {"dataset_name": "problem", "objective_name": "rules", "solver_name": "solver"}

#: Columns of the table and their formats.
FORMATS = dict.fromkeys(("start", "best", "last"), "{:.2e}") | {"h": "{:.5g}", "h_gap": "{:.2e}"}
FORMATS |= {"seconds": "{:.2f}", "compile_s": "{:.1f}"}
FORMATS |= dict.fromkeys(("peak_MB", "iterations", "samples", "diverged", "cut"), "{:,.0f}")


def one_run(rows):
    """Return what the table needs of the rows of one run, in their order.

    A value that is not a finite number counts as infinite: it is the worst.
    """
    last = rows.iloc[-1]
    diverged = bool(rows.objective_diverged.max())
    worst = lambda value: value if np.isfinite(value) else np.inf
    spent = last.time >= limit(last, "max_seconds") or last.objective_n_samples >= limit(last, "max_samples")
    return pd.Series(dict(
        start=worst(rows.objective_value.iloc[0]),
        best=worst(rows.objective_value.min()),
        last=np.inf if diverged else worst(last.objective_value),
        # h at the end and h - h*, where they are known: ||grad h|| may be small far from the minimum.
        h=np.inf if diverged else last.get("objective_h", np.nan),
        h_gap=np.inf if diverged else last.get("objective_h_gap", np.nan),
        iterations=last.objective_n_iter,
        samples=last.objective_n_samples,
        seconds=last.time,
        # Compiled in the first repetition, which the others use.
        compile_s=last.objective_compile_time,
        peak_MB=rows.get("objective_peak_memory", pd.Series(np.nan, rows.index)).max() / 1e6,
        diverged=diverged,
        # Ended by benchopt's timeout (or by the solver itself) before the budget was spent.
        cut=not spent and not diverged,
    ), dtype=float)  # fmt: skip


def limit(row, name):
    """Return a rule of a row's run as a number; infinite where there is none."""
    return float(row.get(f"p_obj_{name}", np.inf))


def summary(df):
    """Return one row for each data set, rules and solver configuration: medians over repetitions.

    Runs of several seeds or machines have rows of their own; of a run that merged files hold more than once the newest
    counts.
    """
    df = whole_runs(df)
    identity = told_apart(df)
    keys = [*NAMES, *identity]
    df = df.fillna({c: "none" for c in identity}).sort_values("stop_val", kind="stable")
    rows = []
    for key, runs in df.groupby(keys, sort=False):
        each = pd.DataFrame([one_run(run) for _, run in runs.groupby("idx_rep")])
        middle = {name: float(np.median(each[name])) for name in each}
        sums = {name: int(each[name].sum()) for name in ("diverged", "cut")}
        rows.append(dict(zip(keys, key, strict=True)) | {"runs": len(each)} | middle | sums)
    table = pd.DataFrame(rows)
    for part, column in NAMES.items():
        table[part] = table[part].map(short_names(df, part))
        table = table.rename(columns={part: column})
    table = table.rename(columns=identity)
    return table.sort_values([*NAMES.values(), *identity.values()], kind="stable").reset_index(drop=True)


def as_text(table):
    """Return the table with text in its cells: "diverged" or a dash where there is no number to show."""
    out = table.copy()
    no_number = np.where(2 * table.diverged >= table.runs, "diverged", "–")
    for name, form in FORMATS.items():
        shown = [form.format(value) if np.isfinite(value) else "" for value in table[name]]
        out[name] = [text or none for text, none in zip(shown, no_number, strict=True)]
    return out
