"""What a bilevel problem is: arrays, names of losses, shapes, a start, a feasible set, a reference and a card.

NumPy only. ``min over x in X of h(x) = F(z*(x), x)`` with ``z*(x) = argmin_z G(z, x)``, or ``z*(x)`` the fixed
point of a contraction ``z = Phi(z, x)``. Convention of the whole project: ``v ~ -H^{-1} grad_z F``, so that

    D_z = grad_z G        D_v = H v + grad_z F        D_x = C v + grad_x F        grad h = D_x at (z*, v*)

For a fixed-point problem ``z - Phi(z, x)`` takes the place of grad_z G, H is its transposed Jacobian in z and C
its transposed Jacobian in x.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp


@dataclasses.dataclass(frozen=True)
class Level:
    """One level (G, Phi or F) as data: arrays over samples and the names of what is computed from them.

    Attributes
    ----------
    loss : str
        Key of `losses.GLM_LOSSES` or `losses.SAMPLE_FUNCTIONS`.
    arrays : dict of str to array or scipy.sparse matrix
        First axis: samples. Generalised linear losses read "features" and "targets".
    penalty : tuple (name, scale) or None
        Ridge penalty, see `losses.penalty_weights`.
    sample_weights : {None, "sigmoid"}
        "sigmoid" multiplies the loss of row i by sigmoid(x_i) (hyper-cleaning).
    n_classes : int
        Second dimension of z for multinomial losses, else 1.
    """

    loss: str
    arrays: dict
    penalty: tuple | None = None
    sample_weights: str | None = None
    n_classes: int = 1

    @property
    def n_samples(self):
        """Number of samples of the level."""
        return next(iter(self.arrays.values())).shape[0]

    def static(self):
        """Return the level without its arrays: all a traced function may close over."""
        return dataclasses.replace(self, arrays={})


@dataclasses.dataclass(frozen=True)
class Card:
    """Facts about a problem that its page shows; measured quantities come from `cards.measure`."""

    title: str
    formula: str
    source: str
    licence: str
    splits: dict = dataclasses.field(default_factory=dict)  # split name -> rows
    hashes: dict = dataclasses.field(default_factory=dict)  # file -> sha256, or md5 marked as such
    notes: str = ""


@dataclasses.dataclass(frozen=True)
class Problem:
    """A bilevel problem as data, for any backend.

    Attributes
    ----------
    name : str
    inner, outer : Level
        G (or Phi) and F.
    inner_shape, outer_shape : tuple of int, or dict of str to tuple of int
        Shapes of z and x; solvers see both as flat vectors of `inner_size` and `outer_size` entries.
    init : callable
        ``init(rng) -> (z0, x0)``, flat float64 vectors.
    reference : object
        Exact solutions in float64, see `benchmark_utils.reference`.
    card : Card
    metrics : callable or None
        ``metrics(z, x, solution) -> dict of float``: extra columns.
    constraint : tuple (name, dict) or None
        Feasible set X, see `benchmark_utils.projections`.
    lower_level : {"minimum", "fixed_point"}
    gradient_mapping_step : float
        Step alpha of the gradient mapping (x - P(x - alpha grad h)) / alpha reported where X is a constraint.
    h_star : float or None
        Optimal value of h, from a deterministic solve of the problem's own.
    data_seed : int
        Seed of the one shuffle of the rows.
    checkpoints_per_octave : float
        Rows for each doubling of the iterations; fewer where the reference is dear.
    max_checkpoints : int
        Most rows of a run, its start and its end included.
    """

    name: str
    inner: Level
    outer: Level
    inner_shape: Any
    outer_shape: Any
    init: Callable
    reference: Any
    card: Card
    metrics: Callable | None = None
    constraint: tuple | None = None
    lower_level: str = "minimum"
    gradient_mapping_step: float = 1.0
    h_star: float | None = None
    data_seed: int = 0
    checkpoints_per_octave: float = 2.0
    max_checkpoints: int = 1000

    @property
    def inner_size(self):
        """Number of inner variables, p."""
        return size_of(self.inner_shape)

    @property
    def outer_size(self):
        """Number of outer variables, d."""
        return size_of(self.outer_shape)

    @property
    def offers(self):
        """Oracles that make sense here, as the names solvers declare in ``requires``."""
        common = {"grad_inner", "hvp", "cross", "grad_outer", "value_outer", "full_pass"}
        if self.lower_level == "minimum":
            common |= {"symmetric_hvp", "grad_inner_x", "value_inner"}
        return frozenset(common)

    def check(self):
        """Return a sentence saying why the data cannot be used, or None."""
        for level_name, level in (("inner", self.inner), ("outer", self.outer)):
            for name, array in level.arrays.items():
                values = array.data if sp.issparse(array) else array
                bad = int(np.count_nonzero(~np.isfinite(values)))
                if bad:
                    return (
                        f"{bad} of the {values.size} entries of the {level_name} array '{name}' of {self.name} are "
                        "NaN or infinite; clean the data or delete the file so that it is fetched again."
                    )
        return None


def size_of(shape):
    """Return the number of entries of a variable: a shape, or a dict of shapes."""
    if isinstance(shape, dict):
        return sum(math.prod(s) for s in shape.values())
    return math.prod(shape)


def unflatten(xp, vector, shape):
    """Cut a flat vector into a variable of the given shape (an array, or a dict of arrays)."""
    if not isinstance(shape, dict):
        return vector if len(shape) == 1 else vector.reshape(shape)
    pieces = xp.split_sizes(vector, [math.prod(s) for s in shape.values()])
    return {name: piece.reshape(s) for (name, s), piece in zip(shape.items(), pieces, strict=True)}


def flatten(xp, variable):
    """Return the flat vector of a variable: the inverse of `unflatten`."""
    if not isinstance(variable, dict):
        return variable.reshape((-1,))
    return xp.concat([piece.reshape((-1,)) for piece in variable.values()])
