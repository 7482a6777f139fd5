"""Images and labels in, equilibrium model out: each image is a task with a fixed point of its own."""

import numpy as np

from benchmark_utils.evaluation.fixed_point import FixedPointEvaluator
from benchmark_utils.files.labels import one_hot
from benchmark_utils.problem.feasible_set import Box
from benchmark_utils.problem.namespace import xp
from benchmark_utils.problem.parameters import flag, number, seed
from benchmark_utils.problem.problem import Problem
from benchmark_utils.problem.sets import Entries, SpectralBall
from benchmark_utils.problem.tasks import Tasks
from benchmark_utils.problem.variables import flatten, size_of, unflatten
from benchmark_utils.terms.equilibrium import Equilibrium, ReadOut

N_CLASSES = 10


def equilibrium(name, train, test, *, states, norm, scale, warm, card, clamp=None, tolerance=1e-12, **options):
    """Build the problem ``w_i = tanh(A w_i + B u_i + c)``, F the cross-entropy of ``D w_i + b``.

    x is a dict of A (states, states), B (states, pixels), c (states,), D (classes, states) and b
    (classes,), drawn with deviation ``scale`` at the start, b zero; states start at zero.

    Parameters
    ----------
    name : str
    train, test : tuple (features, labels)
        Pixels in 0..1, shape (n, pixels), and digits, shape (n,). The training images are tasks,
        of both levels.
    states : int
        Entries of w.
    norm : float
        Bound of ‖A‖_2, the contraction.
    scale : float
    warm : bool
        Whether the state of an image is kept until it is drawn again.
    card : Card
    clamp : float, optional
        Bound of the entries of D; free where left out.
    tolerance : float
        Of the evaluator's fixed points and adjoints.
    **options
        Further fields of `Problem`.
    """
    (features, labels), (test_features, test_labels) = train, test
    splits = {  # row i of either level is image i: the one has its pixels, the other its class
        "train": {"features": features},
        "validation": {"targets": one_hot(labels, N_CLASSES)},
        "test": {"features": test_features, "targets": one_hot(test_labels, N_CLASSES)},
    }
    shapes = {
        "A": (states, states),
        "B": (states, features.shape[1]),
        "c": (states,),
        "D": (N_CLASSES, states),
        "b": (N_CLASSES,),
    }
    inner, outer = Equilibrium(), ReadOut()
    of_D = () if clamp is None else (("D", Box(-clamp, clamp)),)
    feasible = Entries((("A", SpectralBall(norm)), *of_D))
    rows = splits["train"], splits["validation"]
    evaluator = FixedPointEvaluator(inner, outer, *rows, states, shapes, tolerance)

    def init(rng):
        x = unflatten(xp, scale * rng.standard_normal(size_of(shapes)), shapes)
        x = feasible.project(xp, x | {"b": np.zeros(N_CLASSES)}, {})
        return np.zeros(states), flatten(xp, x)

    def metrics(z, x, solution):
        shaped = unflatten(xp, x, shapes)
        on_test = evaluator.states(x, splits["test"])[0]
        out = {}
        for split, at, rows in (
            ("train", solution.z, splits["validation"]),
            ("test", on_test, splits["test"]),
        ):
            losses = outer.sample_values(xp, at, shaped, rows)
            predicted = outer.predictions(xp, at, shaped).argmax(axis=1)
            out[f"{split}_loss_exact"] = float(np.mean(losses))
            out[f"{split}_error_exact"] = float(np.mean(predicted != rows["targets"].argmax(axis=1)))
        return out

    return Problem(
        name=name,
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
        tasks=Tasks(warm=warm),
        **options,
    )


def why_bad(states, norm, scale, warm, data_seed):
    """Return a sentence about the first parameter that cannot be right, or None."""
    return (
        number("states", states, least=1, most=1000, whole=True)
        or number("norm", norm, above=0, most=0.99)
        or number("scale", scale, above=0)
        or flag("warm", warm)
        or seed("seed", data_seed)
    )
