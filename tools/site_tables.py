"""The tables of the site, ready for its templates: what targets cost, ranks, and the last values."""

from typing import NamedTuple

import pandas as pd

from benchmark_utils.statistics.comparison import leaderboard, readable
from benchmark_utils.statistics.labels import PREFIX, short_names, told_apart, whole_runs
from benchmark_utils.statistics.overall import overall, where_known
from benchmark_utils.statistics.table import NAMES, as_text, summary
from benchmark_utils.statistics.targets import COSTS, METRICS

#: Targets and costs that the tables offer.
TARGETS, PAID_IN = (1e-2, 1e-4, 1e-6), ("samples", "seconds")


class Table(NamedTuple):
    """One table of a page."""

    key: str  # what is chosen for it to be shown, such as "h − h*|0.0001|samples"
    caption: str
    columns: list
    rows: list  # of lists of texts
    solvers: list  # base name of the solver of each row


def base(name):
    """Return the name of a method or data set without its parameters."""
    return name.split("[")[0]


def machines(df):
    """Yield ``(text, rows)`` for each seed and machine of results; the text is empty where there is one."""
    df, identity = whole_runs(df), told_apart(df)
    if not identity:
        yield "", df
        return
    df = df.fillna({c: "none" for c in identity})
    for values, rows in df.groupby(list(identity), sort=False):
        yield ", ".join(f"{name} {value}" for name, value in zip(identity.values(), values, strict=True)), rows


def choices(df):
    """Yield ``(metric name, metric, target, cost name, cost)`` for what the tables of these results offer.

    The metric that is known on most problems comes first.
    """
    for label, metric in known_metrics(df).items():
        for target in TARGETS:
            for cost in PAID_IN:
                yield label, metric, target, cost, COSTS[cost]


def known_metrics(df):
    """Return those of `METRICS` that some problem has, the one that most have first."""
    n_rows = {label: len(where_known(df, metric)) for label, metric in METRICS.items()}
    return {label: METRICS[label] for label in sorted(n_rows, key=lambda label: -n_rows[label]) if n_rows[label]}


def key(*parts):
    """Return the key of a table or figure from what is chosen."""
    return "|".join(f"{part:g}" if isinstance(part, float) else part for part in parts)


def informative(tables):
    """Return the key to show first: the hardest target that half of the solvers reached, else what most reached."""
    if not tables:
        return ""
    metric, _, cost = tables[0].key.split("|")
    offered = [t for t in tables if (t.key.split("|")[0], t.key.split("|")[2]) == (metric, cost)]
    share = lambda t: sum(not row[1].startswith("0 of") for row in t.rows) / max(len(t.rows), 1)
    target = lambda t: float(t.key.split("|")[1])
    half = [t for t in offered if share(t) >= 0.5]
    return min(half, key=target).key if half else max(offered, key=lambda t: (share(t), target(t))).key


def leaderboards(df):
    """Return the tables of what targets cost on one data set under one set of rules, and its solvers, best first.

    Parameters
    ----------
    df : pandas.DataFrame
        Results of benchopt.

    Returns
    -------
    tables : list of Table
        One for each seed and machine and what `choices` offers; the best rank comes first.
    best : list of str
        Full names of the solvers by the mean of their ranks over these tables.
    """
    tables, ranks = [], []
    for machine, rows in machines(df):
        for label, metric, target, cost_name, cost in choices(rows):
            board = leaderboard(rows, target, metric, cost).sort_values(["rank", "expected"], kind="stable")
            ranks.append(board[["solver_name", "rank"]])
            shown = readable(board, rows)
            caption = f"{cost_name.capitalize()} until {label} ≤ {target:g}" + (f"; {machine}" if machine else "")
            cells, names = shown.to_numpy().tolist(), list(map(base, board.solver_name))
            tables.append(Table(key(label, target, cost_name), caption, list(shown.columns), cells, names))
    if not ranks:
        return [], list(df.solver_name.unique())
    return tables, list(pd.concat(ranks).groupby("solver_name")["rank"].mean().sort_values(kind="stable").index)


def final_table(df):
    """Return the table of the last values on one data set under one set of rules."""
    table = summary(df).sort_values("last", kind="stable", ignore_index=True)
    full = {short: name for name, short in short_names(whole_runs(df)).items()}
    names = [base(full[short]) for short in table[NAMES["solver_name"]]]
    shown = as_text(table).drop(columns=[NAMES["dataset_name"], NAMES["objective_name"]])
    columns = [column.replace("_", " ") for column in shown.columns]
    caption = "Squared stationarity ‖∇h(x)‖² at the start, at best and at the end; medians over repetitions"
    return Table("", caption, columns, shown.astype(str).to_numpy().tolist(), names)


def overall_tables(df):
    """Return the tables of ranks over all problems on which a metric is known."""
    names, out = short_names(df), []
    for label, metric, target, cost_name, cost in choices(df):
        known = where_known(df, metric)
        board = overall(known, target, metric, cost)
        n = known[[c for c in PREFIX if c != "solver_name"]].drop_duplicates().shape[0]
        caption = f"Mean rank by {cost_name} until {label} ≤ {target:g}, over {n} problem{'s' if n > 1 else ''}"
        rows = [
            [names[r.solver_name], f"{r.reached} of {r.runs}", f"{r.rank:.3g}", f"{r.rank_low:.3g} – {r.rank_high:.3g}"]
            for r in board.itertuples()
        ]
        columns = ["solver", "runs that reached it", "mean rank", "95 % interval"]
        out.append(Table(key(label, target, cost_name), caption, columns, rows, list(map(base, board.solver_name))))
    return out
