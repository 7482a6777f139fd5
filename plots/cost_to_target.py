from benchopt import BasePlot

from benchmark_utils.statistics.comparison import SHOWN, leaderboard, readable
from benchmark_utils.statistics.targets import COSTS, METRICS, offered

#: What the page offers; `comparison.leaderboard` takes any target.
TARGETS, PAID_IN = ("0.01", "0.0001", "1e-06"), ("samples", "seconds")


class Plot(BasePlot):
    """What reaching a target costs: successes, expected and median cost, rank, each with its 95 % interval."""

    name = "Cost to target"
    type = "table"
    options = {
        "dataset": ..., "objective": ..., "metric": list(METRICS), "target": list(TARGETS),
        "cost": lambda df: offered(df, {name: COSTS[name] for name in PAID_IN}),
    }  # fmt: skip

    def plot(self, df, dataset, objective, metric, target, cost):
        chosen = df[(df.dataset_name == dataset) & (df.objective_name == objective)]
        board = leaderboard(chosen, float(target), METRICS[metric], COSTS[cost])
        return readable(board, chosen).to_numpy().tolist()

    def get_metadata(self, df, dataset, objective, metric, target, cost):
        return {
            "title": f"{dataset}<br>{objective}<br>{cost} until {metric} ≤ {target}, with 95 % intervals "
            "(bootstrap over repetitions); a run that never gets there costs infinitely much",
            "columns": list(SHOWN),
        }
