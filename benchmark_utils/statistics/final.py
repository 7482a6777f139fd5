"""A result file: its rows, and the last iterates and the environment record of each run."""

import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet
from benchopt.results import read_results

#: Column of the last iterates and the environment record, in the last row of each run.
LAST = "final_results"

#: What names a run.
RUN = ["dataset_name", "objective_name", "solver_name", "idx_rep"]


def read_rows(path):
    """Return the rows of a result file without last iterates, which are not read: gigabytes where x is long.

    Parameters
    ----------
    path : Path or str
        A result file, .parquet or .csv.

    Returns
    -------
    pandas.DataFrame
        As benchopt's ``read_results`` returns it, less ``final_results``.
    """
    path = Path(path)
    if path.suffix != ".parquet" or LAST not in (names := pyarrow.parquet.read_schema(path).names):
        return read_results(path).drop(columns=LAST, errors="ignore")
    return pd.read_parquet(path, columns=[name for name in names if name != LAST])


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
