from benchopt import BaseDataset

from benchmark_utils.builders.data_set import skipped_if_not_built
from benchmark_utils.builders.equilibrium import equilibrium, why_bad
from benchmark_utils.files import mnist
from benchmark_utils.problem.card import Card
from benchmark_utils.problem.parameters import NumericParameters, number

TRAIN = 60000

#: Of the evaluator: with ‖A‖_2 <= .5 states and adjoints are within twice as much of the exact ones, and 30 iterations
#: are enough. A checkpoint of all images takes over twenty seconds of one core: none is spent on a second x.
TOLERANCE = 1e-9


class Dataset(NumericParameters, BaseDataset):
    """Equilibrium model of MNIST: each of the 60,000 training images is a task with its own fixed point.

    The state of image u, with 784 pixels in 0..1, is the solution w of w = tanh(A w + B u + c),
    200 numbers; F is the cross-entropy of softmax(D w + b), and x holds A, B, c, D and b, 199,010
    numbers, with ‖A‖_2 at most ``norm`` and the entries of D in [-``clamp``, ``clamp``] (the
    latter from the released code). The problem of section 7.1 of R. Grazzi, M. Pontil, S. Salzo
    (JMLR 24(167), 2023, arXiv:2202.03397).

    Batches are blocks of images that are cut once, by ``seed``; those of the paper's code change
    from pass to pass. Solvers that keep states (``warm_start`` of theirs, with ``warm=True``) take
    48 MB for each table of them in single precision.

    Parameters
    ----------
    states : int
        Entries of w.
    norm : float
        Bound of ‖A‖_2, the contraction; below 1.
    clamp : float
        Bound of the entries of D.
    scale : float
        Standard deviation of the entries of A, B, c and D at the start; b starts at 0.
    warm : bool
        Whether the state of an image is kept until it is drawn again. False: none is kept, and
        every iteration starts at zero whatever the solver.
    n_images : int
        The first so many of the training images are tasks.
    seed : int
        Seed of the order in which the images are cut into blocks.
    rows_per_octave : float
        Rows recorded for each doubling of the iterations, 0.1 to 16. A row of all images takes over twenty
        seconds of one core.
    """

    name = "mnist_equilibrium"
    parameters = {
        "states": [200], "norm": [0.5], "clamp": [1.0], "scale": [0.01], "warm": [True],
        "n_images": [TRAIN], "seed": [0], "rows_per_octave": [1.0],
    }  # fmt: skip
    test_parameters = {"n_images": [300], "states": [6]}
    requirements = ["numpy", "scikit-learn", "filelock", "tqdm"]

    def prepare(self):
        mnist.fetch_files()

    @skipped_if_not_built
    def get_data(self):
        reason = (
            why_bad(self.states, self.norm, self.scale, self.warm, self.seed)
            or number("clamp", self.clamp, above=0)
            or number("n_images", self.n_images, least=1, most=TRAIN, whole=True)
            or number("rows_per_octave", self.rows_per_octave, least=0.1, most=16)
        )
        if reason is not None:
            return dict(problem=None, reason=reason)
        images, labels, test_images, test_labels = mnist.load()
        train = images[: self.n_images] / 255, labels[: self.n_images]
        test = test_images / 255, test_labels
        n = len(train[1])
        card = Card(
            title="MNIST equilibrium model",
            formula=(
                "w_i = tanh(A w_i + B u_i + c), F = 1/n sum_i CE(softmax(D w_i + b), y_i), "
                f"‖A‖_2 <= {self.norm}, |D| <= {self.clamp}"
            ),
            source=f"MNIST, mirror {mnist.URL}",
            licence="CC BY-SA 3.0 as Keras's documentation states it; the mirror states none",
            splits={"train": n, "validation": n, "test": len(test[1])},
            hashes=mnist.FILES,
            notes=f"{n:,} tasks with {self.states} states; both levels have the same images",
        )
        problem = equilibrium(
            "mnist_equilibrium", train, test, states=self.states, norm=self.norm, scale=self.scale, warm=self.warm,
            clamp=self.clamp, card=card, data_seed=self.seed, checkpoints_per_octave=float(self.rows_per_octave),
            tolerance=TOLERANCE, compares_directions=False,
        )  # fmt: skip
        return dict(problem=problem)
