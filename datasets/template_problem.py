import dataclasses

import numpy as np
from benchopt import BaseDataset
from sklearn.datasets import load_diabetes

from benchmark_utils.builders.data_set import skipped_if_not_built
from benchmark_utils.evaluation.smooth import SmoothEvaluator
from benchmark_utils.problem.card import Card
from benchmark_utils.problem.parameters import NumericParameters, seed
from benchmark_utils.problem.problem import Problem
from benchmark_utils.terms.term import Term


@dataclasses.dataclass(frozen=True)
class Robust(Term):
    """``1/n sum_i (sqrt(1 + (a_i z - b_i)^2) - 1)``, with ``1/2 sum_k exp(x_k) z_k^2`` where ``penalised``."""

    # Numbers of the term are fields. Arrays are not: they are the rows.
    penalised: bool = False

    # The loss of each row, shape (b,), for NumPy, JAX and torch alike: arithmetic, @, and functions
    # of xp (sqrt, exp, sum, where, take, ...), no np, no `if` on entries. `rows` is a mini-batch: a
    # dict of the arrays below, b rows of each, and "ids", their numbers. Gradients, Hessian-vector
    # and cross products are found by automatic differentiation.
    def sample_values(self, xp, z, x, rows):
        residuals = rows["features"] @ z - rows["targets"]
        return xp.sqrt(1 + residuals * residuals) - 1

    # What is not averaged over rows: one number.
    def penalty(self, xp, z, x):
        return 0.5 * xp.sum(xp.exp(x) * z * z) if self.penalised else 0


class Dataset(NumericParameters, BaseDataset):
    """Robust regression on scikit-learn's diabetes data: one ridge penalty a feature is learned."""

    name = "template_problem"
    parameters = {"seed": [0]}
    requirements = ["numpy", "scikit-learn"]

    @skipped_if_not_built
    def get_data(self):
        reason = seed("seed", self.seed)  # a sentence, or None
        if reason is not None:
            return dict(problem=None, reason=reason)
        features, targets = load_diabetes(return_X_y=True, scaled=False)
        order = np.random.default_rng(self.seed).permutation(len(targets))
        features, targets = features[order], targets[order]
        features = (features - features[:250].mean(axis=0)) / features[:250].std(axis=0)
        targets = (targets - targets[:250].mean()) / targets[:250].std()
        # "train" are the rows of G, "validation" those of F; every array has one entry a row.
        cuts = {"train": slice(0, 250), "validation": slice(250, None)}
        splits = {s: {"features": features[c], "targets": targets[c]} for s, c in cuts.items()}
        p = features.shape[1]
        inner, outer = Robust(penalised=True), Robust()
        problem = Problem(
            name=self.name,
            inner=inner,
            outer=outer,
            splits=splits,
            # Of z and x, as the terms get them: a tuple, or a dict of tuples, such as the layers of
            # a network. Solvers see flat vectors.
            inner_shape=(p,),
            outer_shape=(p,),
            init=lambda rng: (np.zeros(p), np.full(p, -2.0)),
            # h and grad h in float64, for the columns. G must be strongly convex in z; else, as of
            # a network, write None: the curve is then F at the solver's own z.
            evaluator=SmoothEvaluator(inner, outer, splits, (p,), (p,)),
            card=Card(
                title="Robust regression",
                formula="G = 1/n sum_i (sqrt(1 + (a_i z - b_i)^2) - 1) + 1/2 sum_k exp(x_k) z_k^2",
                source="scikit-learn's bundled diabetes data",
                licence="not stated by the source",
                splits={s: len(rows["targets"]) for s, rows in splits.items()},
            ),
            data_seed=self.seed,
        )
        return dict(problem=problem)
