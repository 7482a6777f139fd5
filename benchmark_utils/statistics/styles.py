"""How curves look on pages and in figures: a colour for each method, a dash and a marker for each backend."""

from benchmark_utils.statistics.labels import methods, told_apart

#: matplotlib's ten, then each time the colour that differs most (in CIELAB) from those before it, on white; the least
#: distance of any two is 22.
COLOURS = (
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf",
    "#0000ff", "#ff1fff", "#1f3d00", "#2914a3", "#f5b87a", "#ff007a", "#a3cc8f", "#700047", "#00e000", "#856600",
    "#c2c2f5", "#ff8585", "#007aff", "#a300a3", "#00e0a3", "#3d3352", "#00855c", "#700a00", "#a366ff", "#ffb800",
    "#004747", "#003385", "#ebb8b8", "#ff00b8", "#8fd60a", "#c26633", "#990aeb", "#5c7a14", "#b82952", "#0047ff",
    "#ff7aff", "#5c0a70", "#998f5c", "#ff0000", "#523300", "#52c2ff", "#b8007a", "#995c85", "#00e066", "#7aa3ff",
    "#99d666", "#99ccc2", "#cc850a", "#ccc266", "#338585", "#e0adff", "#525c3d", "#ff6699", "#eb8fad", "#47c2a3",
    "#8585ad", "#00701f", "#ff4766", "#70a300",
)  # fmt: skip

#: Backend -> (dash of matplotlib, marker of plotly). benchopt's pages draw markers and no dashes.
BACKENDS = {"jax": ("-", 0), "torch": ("--", 1), "torch-compiled": (":", 2)}
OTHER_BACKEND = ("-.", 3)


def colour(k):
    """Return the colour of number k; they begin anew after the last."""
    return COLOURS[k % len(COLOURS)]


def styles(df, by_run=True):
    """Return a function from a solver's full name, and what else tells its runs apart, to the style of its curve.

    Colours follow the order of the names in the whole of ``df``, so that a method has one colour in every plot of a
    result file, its configurations different ones, and its backends the same.

    Parameters
    ----------
    df : pandas.DataFrame
        Results of benchopt.
    by_run : bool
        Whether the columns of `labels.told_apart` (seed, machine, ...) are told apart by colour too.

    Returns
    -------
    callable
        ``style(solver, *others) -> dict`` of "color", "marker" and "dash".
    """
    method = methods(df)
    identity = list(told_apart(df)) if by_run else []
    rows = df[["solver_name", *identity]].fillna(dict.fromkeys(identity, "none")).drop_duplicates()
    key = lambda solver, *others: (method[solver], *map(str, others))
    keys = sorted({key(*row) for row in rows.itertuples(index=False)})
    backends = df.drop_duplicates("solver_name").set_index("solver_name").get("p_solver_backend", {})

    def style(solver, *others):
        dash, marker = BACKENDS.get(backends.get(solver), OTHER_BACKEND)
        return {"color": colour(keys.index(key(solver, *others))), "marker": marker, "dash": dash}

    return style
