"""Short names of data sets, rules and solvers for legends and tables, and what runs may be averaged."""

import numpy as np

#: Prefix of the parameter columns of each part of a result's name.
PREFIX = {"solver_name": "p_solver_", "dataset_name": "p_dataset_", "objective_name": "p_obj_"}

#: Stands for a parameter that a result does not have, because it is older than the parameter: it is not named.
ABSENT = ""

#: Columns that say on what machine a run was: those of two are never averaged, nor are those that had a machine to
#: themselves and those that shared it.
MACHINE = {
    "system-processor": "machine",
    "version-cuda": "cuda",
    "system-cpus": "cores",
    "system-ram (GB)": "RAM",
    "env-OMP_NUM_THREADS": "threads",
    "platform": "system",
    "objective_n_workers": "workers",
    "objective_n_cores": "cores allowed",
}

#: Columns that say which runs a row belongs to, besides its names: runs that differ in one are never averaged.
IDENTITY = {
    "base_seed": "seed",
    "objective_problem_version": "version",
    "objective_rules_version": "rules' version",
    **MACHINE,
}


def short_names(df, part="solver_name"):
    """Return dict of full name to a short label, different for different names.

    A label is the base name, a solver's backend, and those parameters that tell two names with this base apart.

    Parameters
    ----------
    df : pandas.DataFrame
        Results of benchopt, with the column ``part`` and those of its parameters, named by `PREFIX`.
    part : {"solver_name", "dataset_name", "objective_name"}
    """
    labels = _labels(df, part, part == "solver_name" and "p_solver_backend" in df.columns)
    return {name: label if list(labels.values()).count(label) == 1 else name for name, label in labels.items()}


def methods(df):
    """Return dict of a solver's full name to a label without its backend, the same for one method on two backends.

    Parameters
    ----------
    df : pandas.DataFrame
        Results of benchopt.
    """
    return _labels(df, "solver_name", False)


def _labels(df, part, with_backend):
    prefix = PREFIX[part]
    columns = [c for c in df.columns if c.startswith(prefix) and c != "p_solver_backend"]
    # Frames of results are wide: the few columns that are looked at, before anything is copied.
    rows = df.loc[~df[part].duplicated(), [part, *columns, *df.columns.intersection(["p_solver_backend"])]]
    values = {c: np.array([_shown(value) for value in rows[c]], object) for c in rows.columns}
    bases = rows[part].str.split("[").str[0].to_numpy()
    labels = {}
    for base in dict.fromkeys(bases):
        group = np.flatnonzero(bases == base)
        varying = [c for c in columns if len(set(values[c][group])) > 1]
        for i in group:
            parts = [values["p_solver_backend"][i]] if with_backend else []
            parts += [f"{c.removeprefix(prefix)}={values[c][i]}" for c in varying if values[c][i] != ABSENT]
            labels[values[part][i]] = f"{base} ({', '.join(parts)})" if parts else base
    return labels


def _shown(value):
    """Return a parameter as text; a whole number has no point, whether or not its column holds floats too."""
    if value is None or value != value:  # NaN
        return ABSENT
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def told_apart(df):
    """Return dict of column to short name of what tells runs of these results apart besides their names.

    A column that tells nothing apart that those before it do not is left out, as is the version of problems where
    each data set has one.
    """
    kept = [c for c in ("dataset_name", *IDENTITY) if c in df.columns]
    # As text only what is left of them, and as sets: a page asks for this hundreds of times.
    runs = {c: values.astype(str).tolist() for c, values in df[kept].drop_duplicates().items()}
    found, distinct = {}, lambda columns: len(set(zip(*(runs[c] for c in columns), strict=True)))
    for column, name in IDENTITY.items():
        if column in df.columns:
            before = [*found, *["dataset_name"] * (column == "objective_problem_version")]
            if distinct([*before, column]) > (distinct(before) if before else 1):
                found[column] = name
    return found


def whole_runs(df):
    """Return the rows of the newest whole run of each name, seed, machine and repetition.

    Files that were merged may hold a run twice, or only the last rows of one: `benchopt merge` goes row by row, by the
    names alone. Runs of two files are told apart by ``run_date``; one without its first row is left out.

    Parameters
    ----------
    df : pandas.DataFrame
        Results of benchopt.
    """
    if "run_date" not in df.columns or df.run_date.nunique() < 2:
        return df
    run = [*PREFIX, *(c for c in IDENTITY if c in df.columns), "idx_rep"]
    keys = df[run].astype(object).fillna("none").astype(str).assign(date=df.run_date.astype(str), row=df.stop_val)
    starts = keys.groupby([*run, "date"])["row"].transform("min") == 0
    keys["date"] = keys["date"].where(starts, "")
    newest = keys.groupby(run)["date"].transform("max")
    return df[(starts & (keys["date"] == newest)).to_numpy()]
