from benchopt import BaseDataset

from benchmark_utils.builders.data_set import skipped_if_not_built
from benchmark_utils.builders.quadratic import quadratic_problem
from benchmark_utils.problem.parameters import NumericParameters, number, seed

#: Most numbers of the two levels together: 256 MiB; a few times that is needed to draw them.
MAX_NUMBERS = 1 << 25


class Dataset(NumericParameters, BaseDataset):
    """Bilevel quadratics with rank-one samples; every reference quantity has a closed form.

    The generator is this project's own, not the one of the published benchmark of Dagréou et al. (2022): curves of
    the two are not comparable.
    """

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

    @skipped_if_not_built
    def get_data(self):
        reason = self.why_bad()
        if reason is not None:
            return dict(problem=None, reason=reason)
        problem = quadratic_problem(self.n, self.m, self.p, self.d, self.mu, self.L, self.L_cross, self.seed)
        return dict(problem=problem)

    def why_bad(self):
        """Return a sentence about the first parameter that cannot be right, or None."""
        for name in ("n", "m", "p", "d"):
            reason = number(name, getattr(self, name), least=1, most=1_000_000 if name in "nm" else 2000, whole=True)
            if reason is not None:
                return reason
        numbers = 3 * (self.n + self.m) * (self.p + self.d)
        if numbers > MAX_NUMBERS:
            return (
                f"simulated holds 3 (n + m) (p + d) = {numbers:,} numbers for n = {self.n}, m = {self.m}, p = {self.p} "
                f"and d = {self.d}, more than {MAX_NUMBERS:,}; choose fewer samples or smaller dimensions."
            )
        return (
            number("mu", self.mu, least=1e-6, most=1e6)
            or number("L", self.L, least=1e-6, most=1e6)
            or number("L_cross", self.L_cross, least=1e-12, most=1e6)
            or seed("seed", self.seed)
        )
