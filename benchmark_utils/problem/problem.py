"""What a bilevel problem is: terms, rows, shapes, a start, a feasible set, an evaluator and a card.

NumPy only. ``min over x in X of h(x) = F(z*(x), x)`` with ``z*(x) = argmin_z G(z, x)``, or ``z*(x)`` the fixed point of
a contraction ``z = Phi(z, x)``. Convention of the whole project: ``v ~ -H^{-1} grad_z F``, so that

    D_z = grad_z G        D_v = H v + grad_z F        D_x = C v + grad_x F        grad h = D_x at (z*, v*)

For a fixed-point problem ``z - Phi(z, x)`` takes the place of grad_z G, H is its transposed Jacobian in z and C its
transposed Jacobian in x.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmark_utils.problem.arrays import as_floats
from benchmark_utils.problem.card import Card
from benchmark_utils.problem.checks import why_not_usable
from benchmark_utils.problem.curvature import hessian_at_start, largest_eigenvalue, smallest_eigenvalue
from benchmark_utils.problem.feasible_set import FeasibleSet
from benchmark_utils.problem.not_built import NotBuilt
from benchmark_utils.problem.tasks import Tasks
from benchmark_utils.problem.variables import size_of, unflatten
from benchmark_utils.problem.version import version_of

#: Names of the splits that hold the rows of G and of F.
LEVELS = {"inner": "train", "outer": "validation"}


@dataclasses.dataclass(frozen=True)
class Problem:
    """A bilevel problem as data, for any backend.

    Attributes
    ----------
    name : str
    inner, outer : benchmark_utils.terms.term.Term
        G (or Phi) and F.
    splits : dict of str to dict of str to array or scipy.sparse matrix
        Every array of the problem, once; first axis: rows. "train" holds the rows of G and "validation" those of F;
        the others ("test", ...) are for the metrics. Integers and booleans become float64, every sparse format CSR.
    inner_shape, outer_shape : tuple of int, or dict of str to tuple of int
        Shapes of z (with tasks: of the z of one task) and x; solvers see flat vectors.
    init : callable
        ``init(rng) -> (z0, x0)``, flat float64 vectors; with tasks z0 is the start of every task.
    evaluator : object or None
        Solutions in float64, see `benchmark_utils.evaluation`; None where none can be had.
    card : Card
    metrics : callable or None
        ``metrics(z, x, solution) -> dict of float``: extra columns; ``solution`` is None without an evaluator.
    feasible_set : FeasibleSet or None
    feasible_arrays : dict of str to array
        Arrays of the feasible set.
    tasks : Tasks or None
    shared_arrays : dict of str to array
        Arrays that the rows of both levels refer to by number, such as the images of tasks: every term finds them,
        whole, among its rows. They are kept once on a device, bytes as bytes.
    adapted_metrics : callable or None
        With tasks: ``adapted_metrics(x, adaptation) -> dict of float``, extra columns after a few steps on new tasks;
        ``adaptation`` says how the solver adapts (`BackendSolver.adaptation`), None where it does not say.
    gradient_mapping_step : float
        Step alpha of the gradient mapping (x - P(x - alpha grad h)) / alpha reported where X is a set.
    h_star : float or None
        Optimal value of h, from a deterministic solve of the problem's own.
    data_seed : int
        Seed of the one shuffle of the rows.
    checkpoints_per_octave : float
        Rows of the results for each doubling of the iterations; fewer where the evaluator is dear.
    max_checkpoints : int
        Most rows of a run, its start and its end included.
    compares_directions : bool
        Whether each row compares the last outer direction with grad h where it was taken: a second solution of the
        evaluator. False where that is too dear: the columns are NaN.
    """

    name: str
    inner: Any
    outer: Any
    splits: dict
    inner_shape: Any
    outer_shape: Any
    init: Callable
    evaluator: Any
    card: Card
    metrics: Callable | None = None
    feasible_set: FeasibleSet | None = None
    feasible_arrays: dict = dataclasses.field(default_factory=dict)
    tasks: Tasks | None = None
    shared_arrays: dict = dataclasses.field(default_factory=dict)
    adapted_metrics: Callable | None = None
    gradient_mapping_step: float = 1.0
    h_star: float | None = None
    data_seed: int = 0
    checkpoints_per_octave: float = 2.0
    max_checkpoints: int = 1000
    compares_directions: bool = True

    def __post_init__(self):
        # What cannot be converted stays as it is: `check` says what is wrong with it.
        object.__setattr__(self, "splits", {split: _converted(rows) for split, rows in self.splits.items()})
        object.__setattr__(self, "feasible_arrays", _converted(self.feasible_arrays))

    @property
    def inner_size(self):
        """Number of inner variables, p (with tasks: of one task)."""
        return size_of(self.inner_shape)

    @property
    def outer_size(self):
        """Number of outer variables, d."""
        return size_of(self.outer_shape)

    def rows(self, level):
        """Return the arrays of a level, "inner" or "outer"."""
        return self.splits[LEVELS[level]]

    @functools.cached_property
    def view(self):
        """What a solver may see: the same object in every repetition."""
        fields = {f.name for f in dataclasses.fields(View)} - {"rows", "device_copies"}
        return View(rows={level: self.rows(level) for level in LEVELS}, **{k: getattr(self, k) for k in fields})

    @functools.cached_property
    def version(self):
        """Short hash over formula, rows, shapes and start (`version_of`): results of two versions do not compare."""
        return version_of(self)

    def outer_value(self, xp, z, x):
        """Return F(z, x) over all validation rows, in float64, from the term itself; xp is NumPy's namespace."""
        rows = self.rows("outer")
        n = next(iter(rows.values())).shape[0]
        z, x = unflatten(xp, z, self.inner_shape), unflatten(xp, x, self.outer_shape)
        return float(self.outer.value(xp, z, x, {**rows, "ids": np.arange(n), **self.shared_arrays}, np.full(n, 1 / n)))

    def check(self, xp):
        """Return a sentence saying why the problem cannot be used, or None; found out once.

        Parameters
        ----------
        xp : array namespace
            NumPy's, in which the terms are tried on two rows.
        """
        if "checked" not in self.__dict__:
            object.__setattr__(self, "checked", why_not_usable(self, LEVELS, xp))
        return self.checked


@dataclasses.dataclass(frozen=True)
class View:
    """What a solver sees of a problem: terms, training and validation rows, shapes, the start; not its answer.

    The fields are those of `Problem`. There is no evaluator, no optimal value, no test row and no metric here.
    """

    name: str
    inner: Any
    outer: Any
    rows: dict
    inner_shape: Any
    outer_shape: Any
    init: Callable
    feasible_set: FeasibleSet | None
    feasible_arrays: dict
    tasks: Tasks | None
    shared_arrays: dict
    data_seed: int
    checkpoints_per_octave: float
    max_checkpoints: int
    #: "latest": the problem's arrays on a device, at most one copy, kept by `running.program`; "solver": whose turn it
    #: is in a run of benchopt, see `BackendSolver.set_objective`.
    device_copies: dict = dataclasses.field(default_factory=dict, compare=False, repr=False)

    @property
    def inner_size(self):
        """Number of inner variables, p (with tasks: of one task)."""
        return size_of(self.inner_shape)

    @property
    def outer_size(self):
        """Number of outer variables, d."""
        return size_of(self.outer_shape)

    def n_samples(self, level):
        """Return the number of rows of a level, "inner" or "outer"."""
        return next(iter(self.rows[level].values())).shape[0]

    @functools.cached_property
    def L(self):
        """Largest eigenvalue of the Hessian of G in z at the start, to a few per cent; None where it is not known."""
        hessian = hessian_at_start(self)
        return None if hessian is None else largest_eigenvalue(hessian)

    @functools.cached_property
    def mu(self):
        """Smallest eigenvalue of the Hessian of G in z at the start; None where it is not known or z is too large."""
        hessian = hessian_at_start(self)
        return None if hessian is None else smallest_eigenvalue(hessian)

    @property
    def offers(self):
        """What algorithms may ask of this problem, as the names that `Oracles.asked` collects."""
        offered = {"grad_inner", "hvp", "cross", "grad_outer", "value", "value_outer"}
        if self.tasks is None:
            offered |= {"full_pass", "dense"}
        if not self.inner.is_map:
            offered |= {"symmetric_hvp", "grad_inner_x", "value_inner"}
        return frozenset(offered)


def _converted(rows):
    """Return a dict of arrays as floats; what is no such dict, or cannot be one, as it is."""
    if not isinstance(rows, dict):
        return rows
    out = {}
    for name, array in rows.items():
        try:
            out[name] = as_floats(array, name)
        except NotBuilt:
            out[name] = array
    return out
