"""Few-shot problems: tasks drawn from images by class, a shared network x and a last layer z for each task."""

import numpy as np

from benchmark_utils.evaluation.episodes import EpisodeEvaluator
from benchmark_utils.problem.problem import Problem
from benchmark_utils.problem.tasks import Adaptation, Tasks
from benchmark_utils.problem.variables import size_of
from benchmark_utils.terms.last_layer import LastLayer


def drawn_tasks(rng, labels, n_tasks, ways, shots, queries):
    """Draw tasks: ``ways`` classes in random order, no image twice in a task.

    Parameters
    ----------
    rng : numpy.random.Generator
    labels : int array of shape (n,)
        Class of each image.
    n_tasks, ways, shots, queries : int
        Tasks, classes of a task, and support and query images of each class.

    Returns
    -------
    support, query : dict
        "images", numbers of images of shape (n_tasks, ways shots), and one-hot "targets" of shape
        (n_tasks, ways shots, ways), and those of the queries.
    """
    by_class = [np.flatnonzero(labels == k) for k in np.unique(labels)]
    picked = np.empty((n_tasks, ways, shots + queries), int)
    for task in picked:
        for place, k in enumerate(rng.permutation(len(by_class))[:ways]):
            task[place] = rng.choice(by_class[k], shots + queries, replace=False)

    def part(ids):
        targets = np.repeat(np.eye(ways), ids.shape[2], axis=0)
        return {"images": ids.reshape(n_tasks, -1), "targets": np.tile(targets, (n_tasks, 1, 1))}

    return part(picked[:, :, :shots]), part(picked[:, :, shots:])


def few_shot(name, parts, network, card, *, n_tasks, ways, shots, queries, ridge, warm, n_evaluated, test_steps,
             test_step, seed):  # fmt: skip
    """Return the problem: G of a task is the loss on its support images plus a ridge, F that on its query images.

    Parameters
    ----------
    name : str
    parts : dict of str to tuple (images, labels)
        "train", "validation" and "test", without a class in common: bytes of shape (n, side, side, channels), labels
        of shape (n,). Tasks hold numbers of images, which are kept once.
    network : Convolutions
    card : Card
    n_tasks : int
        Tasks of the problem, drawn once from the training classes.
    ways, shots, queries : int
    ridge : float
        Positive.
    warm : bool
        Whether the last layer of a task is kept until it is drawn again.
    n_evaluated : int
        Tasks on which h and its gradient are evaluated (the first ones of the problem), and validation and test tasks.
    test_steps : int
    test_step : float
        Steps from zero after which new tasks are evaluated where a solver does not say how it adapts.
    seed : int
    """
    rng, drawn = np.random.default_rng(seed), {}
    for part, (_, labels) in parts.items():
        n = n_tasks if part == "train" else n_evaluated
        drawn[part] = drawn_tasks(rng, labels, n, ways, shots, queries)
    train, validation = drawn["train"]
    shared = {part: {"pool": images} for part, (images, _) in parts.items()}
    inner, outer = LastLayer(ridge, network), LastLayer(0.0, network)
    inner_shape, outer_shape = (network.n_features, ways), network.shapes
    first = lambda rows: {key: array[:n_evaluated] for key, array in rows.items()}
    evaluator = EpisodeEvaluator(
        inner, outer, first(train), first(validation), shared["train"], inner_shape, outer_shape
    )
    p = size_of(inner_shape)

    def adapted_metrics(x, adaptation):
        out = {}
        how = Adaptation(np.zeros(p), test_step, test_steps) if adaptation is None else adaptation
        for part in ("validation", "test"):
            exact, adapted = evaluator.errors(x, *drawn[part], shared[part], how)
            out |= {f"{part}_error_exact": exact, f"{part}_error_adapted": adapted}
        return out

    return Problem(
        name=name,
        inner=inner,
        outer=outer,
        splits={
            "train": train,
            "validation": validation,
            **{f"new_{part}_{level}": rows for part in ("validation", "test")
               for level, rows in zip(("support", "query"), drawn[part], strict=True)},
        },
        inner_shape=inner_shape,
        outer_shape=outer_shape,
        init=lambda rng: (np.zeros(p), network.start(rng)),
        evaluator=evaluator,
        card=card,
        tasks=Tasks(warm=warm),
        shared_arrays=shared["train"],
        adapted_metrics=adapted_metrics,
        data_seed=seed,
        checkpoints_per_octave=0.5,
    )  # fmt: skip
