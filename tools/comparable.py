"""What results compare: problems, rules and seeds must be the same, and seconds only on one machine."""

import numpy as np
from benchopt.results.result_processing import merge_results

from benchmark_utils.running.rules import VERSION
from benchmark_utils.statistics.labels import MACHINE

#: Columns in seconds, unknown in the merged results of two machines.
SECONDS = ("time", "objective_spent_seconds", "objective_compile_time")

#: Column that tells a solver's runs from those of the reference where both have them.
ORIGIN = "p_solver_run"


def why_not_of_this_version(df):
    """Return a sentence if results were made by other rules, or before versions were recorded; else None."""
    for column in ("objective_problem_version", "objective_rules_version"):
        if column not in df.columns or df[column].isna().any():
            return f"it was made before results recorded {column.removeprefix('objective_')}; run it again."
    versions = sorted(set(df.objective_rules_version) - {VERSION})
    if versions:
        return (
            f"it was made by version {', '.join(versions)} of the rules, and this is version {VERSION}: what is "
            "counted, timed or recorded has changed (CHANGELOG.md), so that the numbers do not compare; run it again."
        )
    return None


def machines(df):
    """Return the distinct machines of results: one row each, columns of `labels.MACHINE`."""
    columns = [c for c in MACHINE if c in df.columns]
    return df[columns].fillna("none").astype(str).drop_duplicates().reset_index(drop=True)


def comparable(known, new):
    """Return the rows of new results on the reference's problems.

    Parameters
    ----------
    known, new : pandas.DataFrame
        Results of the reference and of the solver.

    Raises
    ------
    SystemExit
        With a sentence, where problems, rules, seeds or the format of results differ.
    """
    reason = why_not_of_this_version(new)
    if reason:
        raise SystemExit(f"the results of the solver: {reason}")
    shared = set(known.dataset_name) & set(new.dataset_name)
    if not shared:
        raise SystemExit(
            f"the results of the solver are on {listed(new.dataset_name)}, and the reference is on "
            f"{listed(known.dataset_name)}: there is no problem in common. Run the solver on those."
        )
    new = new[new.dataset_name.isin(shared)]
    for name in sorted(shared):
        ours, theirs = new[new.dataset_name == name], known[known.dataset_name == name]
        differs(
            f"the rows or the formula of {name} (its version)",
            theirs,
            ours,
            "objective_problem_version",
            "Use the data and the files of this repository as they are, or publish a reference of your own",
        )
        differs(f"the rules on {name}", theirs, ours, "objective_name", "Run the solver by the rules of the reference")
        differs(f"the seed on {name}", theirs, ours, "base_seed", "Run the solver with the seed of the reference")
    if set(new.run_date) & set(known.run_date):
        raise SystemExit(
            "the results of the solver hold runs of the reference itself; give a file of the solver's own."
        )
    return new


def differs(what, theirs, ours, column, remedy):
    """Refuse results with values in a column that the reference does not have there."""
    if not set(ours[column]) <= set(theirs[column]):
        raise SystemExit(
            f"{what} differ: {listed(theirs[column])} in the reference, {listed(ours[column])} in the results of the "
            f"solver. These numbers do not compare. {remedy}."
        )


def listed(values):
    """Return the distinct values as text."""
    return ", ".join(sorted({str(value) for value in values}))


def why_no_seconds(known, new):
    """Return the sentence that says on which machine either was, if they differ; else None.

    Raises
    ------
    SystemExit
        If one of them was on several machines.
    """
    (there, here) = (machines(df) for df in (known, new))
    for which, found in (("reference", there), ("solver", here)):
        if len(found) > 1:
            raise SystemExit(
                f"the results of the {which} are of several machines or worker numbers: give those of one."
            )
    there, here = there.iloc[0], here.iloc[0]
    parts = [f"{MACHINE[c]} {there[c]} there and {here[c]} here" for c in there.index if there[c] != here.get(c)]
    if not parts:
        return None
    return f"Seconds are not compared, samples are: the machine of the reference was another ({'; '.join(parts)})."


def merged(paths, known, new, seconds):
    """Return the reference and the solver's runs in one frame, every run of both.

    `benchopt merge` would replace runs of one name row by row, so all rows are kept; where a solver of the reference
    was run again, its new runs have ``run=new`` in their name.

    Parameters
    ----------
    paths : list of Path
        The two files.
    known, new : pandas.DataFrame
        The rows of them that compare.
    seconds : bool
        Whether machines are the same; if not, seconds become unknown and the columns of the machine are left out.
    """
    df = merge_results(paths, keep="all")
    df = df.astype({c: float for c in df.columns if df[c].dtype == np.float32})
    is_new = df.run_date.isin(set(new.run_date))
    df = df[df.dataset_name.isin(set(new.dataset_name)) & df.objective_name.isin(set(new.objective_name))]
    is_new = is_new[df.index]
    twice = is_new & df.solver_name.isin(set(known.solver_name))
    if twice.any():
        df[ORIGIN] = np.where(is_new, "new", "reference")
        df.loc[twice, "solver_name"] = df.solver_name[twice].str.removesuffix("]") + ",run=new]"
    if not seconds:
        df[[c for c in SECONDS if c in df.columns]] = np.nan
        df = df.drop(columns=[c for c in MACHINE if c in df.columns])
    return df.drop(columns="final_results", errors="ignore").reset_index(drop=True)
