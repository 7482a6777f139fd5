import numpy as np
from benchopt import BaseDataset

from benchmark_utils.builders.data_set import skipped_if_not_built
from benchmark_utils.evaluation.fixed_point import FixedPointEvaluator
from benchmark_utils.files import digits
from benchmark_utils.files.labels import one_hot
from benchmark_utils.problem.card import Card
from benchmark_utils.problem.namespace import xp
from benchmark_utils.problem.parameters import NumericParameters, flag, number, seed
from benchmark_utils.problem.problem import Problem
from benchmark_utils.problem.sets import SpectralBall
from benchmark_utils.problem.tasks import Tasks
from benchmark_utils.problem.variables import flatten, size_of, unflatten
from benchmark_utils.terms.equilibrium import Equilibrium, ReadOut

TRAIN, TEST = 1400, 397


class Dataset(NumericParameters, BaseDataset):
    """Equilibrium model of scikit-learn's digits: each image is a task with its own fixed point.

    The state of image u is the solution of w = tanh(A w + B u + c); F is the cross-entropy of
    softmax(D w + b) and x holds A, B, c, D and b, with ‖A‖_2 at most ``norm``. The lower level
    has no loss and its Jacobian is not symmetric. 1,400 images are tasks, of both levels; 397
    are test. After section 7.1 of Grazzi, Pontil and Salzo (JMLR 24(167), 2023), with 200
    states on MNIST there.

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
        reason = (
            number("states", self.states, least=1, most=1000, whole=True)
            or number("norm", self.norm, above=0, most=0.99)
            or number("scale", self.scale, above=0)
            or flag("warm", self.warm)
            or seed("seed", self.seed)
        )
        if reason is not None:
            return dict(problem=None, reason=reason)
        parts = digits.split(self.seed, train=TRAIN, test=TEST)
        (train, y_train), (test, y_test) = parts["train"], parts["test"]
        splits = {  # row i of either level is image i: the one has its pixels, the other its class
            "train": {"features": train},
            "validation": {"targets": one_hot(y_train, digits.N_CLASSES)},
            "test": {"features": test, "targets": one_hot(y_test, digits.N_CLASSES)},
        }
        k, states = digits.N_CLASSES, self.states
        shapes = {
            "A": (states, states),
            "B": (states, digits.N_PIXELS),
            "c": (states,),
            "D": (k, states),
            "b": (k,),
        }
        inner, outer, feasible = Equilibrium(), ReadOut(), SpectralBall("A", self.norm)
        evaluator = FixedPointEvaluator(inner, outer, splits["train"], splits["validation"], states, shapes)

        def init(rng):
            x = unflatten(xp, self.scale * rng.standard_normal(size_of(shapes)), shapes)
            x = feasible.project(xp, x | {"b": np.zeros(k)}, {})
            return np.zeros(states), flatten(xp, x)

        def metrics(z, x, solution):
            shaped = unflatten(xp, x, shapes)
            on_test = evaluator.states(x, {"features": test})[0]
            out = {}
            for split, at, rows in (
                ("train", solution.z, splits["validation"]),
                ("test", on_test, splits["test"]),
            ):
                losses = outer.sample_values(xp, at, shaped, rows)
                predicted = outer.predictions(xp, at, shaped).argmax(axis=1)
                out[f"{split}_loss_exact"] = float(np.mean(losses))
                wrong = predicted != rows["targets"].argmax(axis=1)
                out[f"{split}_error_exact"] = float(np.mean(wrong))
            return out

        card = Card(
            title="Digits equilibrium model",
            formula=(f"w_i = tanh(A w_i + B u_i + c), F = 1/n sum_i CE(softmax(D w_i + b), y_i), ‖A‖_2 <= {self.norm}"),
            source=digits.SOURCE,
            licence=digits.LICENCE,
            splits={"train": TRAIN, "validation": TRAIN, "test": TEST},
            notes=f"{TRAIN:,} tasks with {states} states; both levels have the same images",
        )
        problem = Problem(
            name="equilibrium_digits",
            inner=inner,
            outer=outer,
            splits=splits,
            inner_shape=(states,),
            outer_shape=shapes,
            init=init,
            evaluator=evaluator,
            card=card,
            metrics=metrics,
            feasible_set=feasible,
            tasks=Tasks(warm=self.warm),
            data_seed=self.seed,
        )
        return dict(problem=problem)
