"""Short names of data sets, rules and solvers for legends and tables, and what runs may be averaged."""

#: Prefix of the parameter columns of each part of a result's name.
PREFIX = {"solver_name": "p_solver_", "dataset_name": "p_dataset_", "objective_name": "p_obj_"}

#: Columns that say which runs a row belongs to, besides its names: runs of two seeds or machines are never averaged,
#: nor are those that had a machine to themselves and those that shared it.
IDENTITY = {
    "base_seed": "seed", "system-processor": "machine", "version-cuda": "cuda", "objective_n_workers": "workers",
}  # fmt: skip


def short_names(df, part="solver_name"):
    """Return dict of full name to a short label, different for different names.

    A label is the base name, a solver's backend, and those parameters that tell two names with this base apart.

    Parameters
    ----------
    df : pandas.DataFrame
        Results of benchopt, with the column ``part`` and those of its parameters, named by `PREFIX`.
    part : {"solver_name", "dataset_name", "objective_name"}
    """
    prefix = PREFIX[part]
    columns = [c for c in df.columns if c.startswith(prefix) and c != "p_solver_backend"]
    rows = df.drop_duplicates(part)
    labels = {}
    for base, group in rows.groupby(rows[part].str.split("[").str[0], sort=False):
        varying = [c for c in columns if group[c].astype(str).nunique() > 1]
        for _, row in group.iterrows():
            shown = part == "solver_name" and "p_solver_backend" in rows.columns
            parts = [str(row["p_solver_backend"])] if shown else []
            parts += [f"{c.removeprefix(prefix)}={row[c]}" for c in varying]
            labels[row[part]] = f"{base} ({', '.join(parts)})" if parts else base
    return {name: label if list(labels.values()).count(label) == 1 else name for name, label in labels.items()}


def told_apart(df):
    """Return dict of column to short name of what tells runs of these results apart besides their names."""
    return {c: name for c, name in IDENTITY.items() if c in df.columns and df[c].astype(str).nunique() > 1}
