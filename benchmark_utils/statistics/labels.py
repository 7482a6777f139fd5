"""Short names of configurations for legends and tables."""


def short_names(df):
    """Return dict of full solver name to a short label.

    A label is the algorithm's name, its backend, and those parameters that tell two of its configurations apart.

    Parameters
    ----------
    df : pandas.DataFrame
        Results of benchopt, with the columns ``solver_name`` and ``p_solver_*``.
    """
    columns = [c for c in df.columns if c.startswith("p_solver_") and c != "p_solver_backend"]
    rows = df.drop_duplicates("solver_name")
    labels = {}
    for base, group in rows.groupby(rows.solver_name.str.split("[").str[0], sort=False):
        varying = [c for c in columns if group[c].astype(str).nunique() > 1]
        for _, row in group.iterrows():
            parts = [str(row.get("p_solver_backend", ""))] if "p_solver_backend" in rows.columns else []
            parts += [f"{c.removeprefix('p_solver_')}={row[c]}" for c in varying]
            labels[row.solver_name] = f"{base} ({', '.join(parts)})" if parts else base
    return labels
