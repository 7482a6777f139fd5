import numpy as np
from benchopt import BaseDataset

from benchmark_utils.builders.data_set import skipped_if_not_built
from benchmark_utils.evaluation.toy import ToyEvaluator, local_minima, upper
from benchmark_utils.problem.card import Card
from benchmark_utils.problem.feasible_set import Box
from benchmark_utils.problem.parameters import NumericParameters, number
from benchmark_utils.problem.problem import Problem
from benchmark_utils.terms.toy import ToyLower, ToyUpper

#: The set of x.
LOWER, UPPER = 0.0, 3.0

#: How close to a minimiser of h a copy of x counts as there, and z to -x: penalties move it, by .02 for gamma = 10.
CLOSE = 0.05


class Dataset(NumericParameters, BaseDataset):
    """A toy problem whose lower level is not convex: 1,000 starts of one scalar problem, side by side.

    G = (x + z)^2 + x sin(x + z)^2 has the one minimiser z = -x for x in [0, 3]; F = cos(4 z + 2) / (1 + exp(2 - 4 x))
    + log((4 x - 2)^2 + 1) / 2, so that h(x) = F(-x, x) has several local minima. Entry k of z and x is an independent
    copy, whose step does not depend on how many there are (G and F are sums over the copies); methods that take norms
    or inner products, such as BOME or conjugate gradients, see them as one problem. A copy starts at x uniform in
    [0, 3.5], cut at 3, and z in [-5, 8.5]. There is one row: a batch is all there is. Section 5.1 of H. Shen, T. Chen,
    "On penalty-based bilevel gradient descent method", ICML 2023, arXiv:2302.05185, as in the released code.

    Parameters
    ----------
    starts : int
        Copies; each repetition of a run draws them anew.
    """

    name = "pbgd_toy"
    parameters = {"starts": [1000]}
    test_parameters = {"starts": [20]}
    requirements = ["numpy", "scipy"]

    @skipped_if_not_built
    def get_data(self):
        reason = number("starts", self.starts, least=1, most=1_000_000, whole=True)
        if reason is not None:
            return dict(problem=None, reason=reason)
        n, minima = self.starts, local_minima(LOWER, UPPER)
        values = upper(-minima, minima)[0]
        best = minima[values.argmin()]

        def init(rng):
            x = np.minimum(rng.uniform(0, 3.5, n), UPPER)
            return rng.uniform(-5, 8.5, n), x

        def metrics(z, x, solution):
            share = lambda inside: float(np.mean(inside))
            return {
                "at_local_minimum": share(np.abs(x[:, None] - minima).min(axis=1) < CLOSE),
                "at_global_minimum": share(np.abs(x - best) < CLOSE),
                "lower_level_solved": share(np.abs(x + z) < CLOSE),
            }

        one = {"ones": np.ones(1)}
        card = Card(
            title="Toy problem with a lower level that is not convex",
            formula=(
                "G = sum_k (x_k + z_k)^2 + x_k sin(x_k + z_k)^2, F = sum_k cos(4 z_k + 2) / (1 + exp(2 - 4 x_k)) + "
                "log((4 x_k - 2)^2 + 1) / 2, 0 <= x_k <= 3"
            ),
            source="formulas, from https://github.com/hanshen95/penalized-bilevel-gradient-descent",
            licence="none needed",
            splits={"train": 1, "validation": 1},
            notes=(
                f"{n:,} independent starts in one problem; h of one has local minima at x = "
                f"{', '.join(f'{x:.4f}' for x in minima)} of value {', '.join(f'{h:.4f}' for h in values)}"
            ),
        )
        problem = Problem(
            name="pbgd_toy",
            inner=ToyLower(),
            outer=ToyUpper(),
            splits={"train": one, "validation": dict(one)},
            inner_shape=(n,),
            outer_shape=(n,),
            init=init,
            evaluator=ToyEvaluator(),
            card=card,
            metrics=metrics,
            feasible_set=Box(LOWER, UPPER),
            h_star=float(n * values.min()),
        )
        return dict(problem=problem)
