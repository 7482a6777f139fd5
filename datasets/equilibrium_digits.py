from benchopt import BaseDataset

from benchmark_utils.builders.data_set import skipped_if_not_built
from benchmark_utils.builders.equilibrium import equilibrium, why_bad
from benchmark_utils.files import digits
from benchmark_utils.problem.card import Card
from benchmark_utils.problem.parameters import NumericParameters

TRAIN, TEST = 1400, 397


class Dataset(NumericParameters, BaseDataset):
    """Equilibrium model of scikit-learn's digits: each image is a task with its own fixed point.

    The state of image u is the solution of w = tanh(A w + B u + c); F is the cross-entropy of
    softmax(D w + b) and x holds A, B, c, D and b, with ‖A‖_2 at most ``norm``. The lower level
    has no loss and its Jacobian is not symmetric. 1,400 images are tasks, of both levels; 397
    are test. After section 7.1 of Grazzi, Pontil and Salzo (JMLR 24(167), 2023), with 200
    states on MNIST there: mnist_equilibrium.

    Parameters
    ----------
    states : int
        Entries of w.
    norm : float
        Bound of ‖A‖_2, the contraction; below 1.
    scale : float
        Standard deviation of the entries of A, B, c and D at the start; b starts at 0.
    warm : bool
        Whether the state of an image is kept until it is drawn again.
    seed : int
        Seed of the split.
    """

    name = "equilibrium_digits"
    parameters = {"states": [16], "norm": [0.5], "scale": [0.1], "warm": [True], "seed": [0]}
    requirements = ["numpy", "scikit-learn"]

    @skipped_if_not_built
    def get_data(self):
        reason = why_bad(self.states, self.norm, self.scale, self.warm, self.seed)
        if reason is not None:
            return dict(problem=None, reason=reason)
        parts = digits.split(self.seed, train=TRAIN, test=TEST)
        card = Card(
            title="Digits equilibrium model",
            formula=(f"w_i = tanh(A w_i + B u_i + c), F = 1/n sum_i CE(softmax(D w_i + b), y_i), ‖A‖_2 <= {self.norm}"),
            source=digits.SOURCE,
            licence=digits.LICENCE,
            splits={"train": TRAIN, "validation": TRAIN, "test": TEST},
            notes=f"{TRAIN:,} tasks with {self.states} states; both levels have the same images",
        )
        problem = equilibrium(
            "equilibrium_digits", parts["train"], parts["test"],
            states=self.states, norm=self.norm, scale=self.scale, warm=self.warm, card=card, data_seed=self.seed,
        )  # fmt: skip
        return dict(problem=problem)
