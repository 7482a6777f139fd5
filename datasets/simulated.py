from benchopt import BaseDataset

from benchmark_utils.builders.quadratic import quadratic_problem


class Dataset(BaseDataset):
    """Bilevel quadratics with rank-one samples; every reference quantity has a closed form."""

    name = "simulated"
    parameters = {
        "n, m": [(1024, 1024)],
        "p, d": [(100, 100)],
        "mu": [0.1],
        "L": [1.0],
        "L_cross": [0.1],
        "seed": [2442],
    }
    requirements = ["numpy", "scipy"]
    test_parameters = {"n, m": [(100, 90)], "p, d": [(6, 4)]}

    def get_data(self):
        try:
            problem = quadratic_problem(self.n, self.m, self.p, self.d, self.mu, self.L, self.L_cross, self.seed)
        except ValueError as error:
            return dict(problem=None, reason=str(error))
        return dict(problem=problem)
