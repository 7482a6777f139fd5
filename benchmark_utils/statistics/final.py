"""The last iterates and the environment record of each run of a result file."""

import json

from benchopt.results import read_results

#: What names a run.
RUN = ["dataset_name", "objective_name", "solver_name", "idx_rep"]


def final_results(path):
    """Return one row for each run, with its last iterates.

    Parameters
    ----------
    path : Path or str
        A result file.

    Returns
    -------
    pandas.DataFrame
        The names and the repetition of the run; ``z`` and ``x``, float64 arrays (z is None where tasks forget it);
        ``environment``, a dict.
    """
    df = read_results(path)
    last = df[df.final_results.map(lambda value: isinstance(value, dict))]
    out = last[RUN].reset_index(drop=True)
    for name in ("z", "x"):
        out[name] = [final[name] for final in last.final_results]
    out["environment"] = [json.loads(final["environment"]) for final in last.final_results]
    return out
