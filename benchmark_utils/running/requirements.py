"""What an algorithm requires of a problem, found by running its step once with a backend that only listens."""

import collections

import numpy as np

from benchmark_utils.backends.recording import RecordingBackend
from benchmark_utils.oracles.blocks import Blocks, Partition
from benchmark_utils.oracles.draws import DrawStreams
from benchmark_utils.oracles.oracles import Oracles, Spec
from benchmark_utils.running.search_space import hyper_parameter_names
from benchmark_utils.terms.quadratic import Quadratic

#: Rows a level, rows a block and entries of z and x of the problem that is listened on.
N, BATCH, SIZE = 4, 2, 2

#: Terms up to which a backend may sum in any order, see `backends.jax.program`: rows of a block, or blocks of a level.
#: One after the other in single precision, 1,433 blocks of 64 lose 2e-7 of the sum of the moduli at most (200 draws).
SHORT_SUM = 2048


class Nothing:
    """The view of a problem of zeros."""

    name = "nothing"
    inner = outer = Quadratic()
    inner_shape = outer_shape = (SIZE,)
    inner_size = outer_size = SIZE
    feasible_set = tasks = None


def _zeros():
    part = Partition.of(N, BATCH)
    block = np.zeros((part.n_blocks, BATCH, SIZE))
    arrays = {name: block for name in ("a", "b", "c", "e", "r", "s")}
    level = Blocks(arrays, np.ones((part.n_blocks, BATCH)), np.zeros((part.n_blocks, BATCH), np.int32))
    return {"inner": part, "outer": part}, {"inner": level, "outer": level, "feasible": {}, "shared": {}}


def listening_solver(solver):
    """Return (a copy of a solver with resolved parameters on the listening backend, its Oracles)."""
    partitions, data = _zeros()
    original, solver = solver, object.__new__(type(solver))
    solver.__dict__ |= original.__dict__
    solver.bk, solver.partitions, solver.problem = RecordingBackend(), partitions, Nothing
    return solver, Oracles(solver.bk, Spec.of(Nothing, partitions), data)


def asked_by_step(solver, start=True):
    """Return the names of what a step function (and ``init``, if ``start``) asks of a problem; see `Oracles.asked`.

    Hyper-parameters are Python's floats, as on torch: dividing by one that is 0 raises ZeroDivisionError, and a power
    of one that no float holds raises OverflowError.
    """
    solver, oracles = listening_solver(solver)
    plan = solver.plan = solver.draws()
    names = hyper_parameter_names(type(solver))
    hp = collections.namedtuple("HyperParameters", names)(*(float(getattr(solver, name)) for name in names))
    drawn = DrawStreams(plan, solver.partitions, 0).take(1)
    draws = collections.namedtuple("Draws", plan)(
        **{role: a[0].item() if a[0].ndim == 0 else a[0] for role, a in drawn.items()}
    )
    with np.errstate(all="ignore"):
        state = solver.init(np.zeros(SIZE), np.zeros(SIZE), oracles)
        if not start:
            oracles.asked.clear()
        solver.step(state, oracles, hp, draws)
    return frozenset(oracles.asked)


def sums_are_short(solver, tasks, partitions, by_block=False):
    """Return whether no sum of an iteration has more than `SHORT_SUM` terms; those of the start may have more.

    ``by_block`` says whether a full pass goes block by block, see `oracles.full_pass`.
    """
    with_start = tasks is not None and not tasks.warm  # tasks that are forgotten start anew in every iteration
    whole = "full_pass" in asked_by_step(solver, with_start)
    longest = max(max(part.batch_size, part.n_blocks * whole) for part in partitions.values())
    return longest <= SHORT_SUM and (by_block or not whole)


def why_not_offered(solver, view):
    """Return a sentence naming what the solver requires and the problem does not offer, or None."""
    missing = sorted(set(solver.required()) - view.offers)
    if not missing:
        return None
    kind = "fixed point" if view.inner.is_map else "minimum"
    tasks = " of tasks that are drawn in blocks" if view.tasks is not None else ""
    return (
        f"{solver.name} requires {', '.join(missing)}, which {view.name} does not offer "
        f"(its lower level is a {kind}{tasks})."
    )
