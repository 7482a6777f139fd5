import numpy as np
from benchopt import BasePlot

from benchmark_utils.statistics.table import FORMATS, NAMES, as_text, summary


class Plot(BasePlot):
    """The table of `python -m tools.summary`: medians over repetitions, and over nothing else."""

    name = "Summary table"
    type = "table"
    options = {"dataset": ..., "objective": ...}

    def plot(self, df, dataset, objective):
        table = self._table(df, dataset, objective)
        text = as_text(table)
        # Numbers as such, so that the page sorts them; text where there is none to show.
        return [
            [row[c] if c not in FORMATS or np.isfinite(row[c]) else text.at[i, c] for c in table.columns]
            for i, row in enumerate(table.to_dict("records"))
        ]

    def get_metadata(self, df, dataset, objective):
        columns = [c.replace("_", " ") for c in self._table(df, dataset, objective).columns]
        return {
            "title": f"{dataset}<br>{objective}<br>squared stationarity ‖∇h(x)‖² (start, best, last), h and h − h* at "
            "the end; medians over repetitions",
            "columns": columns,
            "default_order_ascending": True,
            "default_order_column": columns.index("last"),
        }

    def _table(self, df, dataset, objective):
        chosen = df[(df.dataset_name == dataset) & (df.objective_name == objective)]
        return summary(chosen).drop(columns=[NAMES["dataset_name"], NAMES["objective_name"]])
