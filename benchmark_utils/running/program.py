"""An algorithm, a problem and a backend, compiled into one program."""

import collections
from typing import Any, NamedTuple

import numpy as np

from benchmark_utils.backends import get_backend
from benchmark_utils.oracles.blocks import Partition, make_blocks
from benchmark_utils.oracles.draws import SAMPLING, DrawStreams, inner
from benchmark_utils.oracles.full_pass import goes_by_block
from benchmark_utils.oracles.oracles import FULL, Oracles, Spec
from benchmark_utils.problem.parameters import shown
from benchmark_utils.running import memory
from benchmark_utils.running.next_direction import NextDirection
from benchmark_utils.running.requirements import sums_are_short
from benchmark_utils.running.search_space import hyper_parameter_names

#: Draws are generated in pieces of at most this many iterations and bytes.
CHUNK_ITERATIONS, CHUNK_BYTES = 16384, 1 << 25

#: Every launch hands over a whole piece, so beyond so many iterations a piece takes at most so many bytes.
FEW_ITERATIONS, FEW_BYTES = 1024, 1 << 18


class Launched(NamedTuple):
    """What a program returns before the device is done."""

    carry: Any
    x_before: Any
    draws: DrawStreams
    pending: Any  # counts and whether all is finite, as the backend has them
    n_done: int


class Device(NamedTuple):
    """The arrays of a problem on a device, and what they were cut by."""

    key: tuple
    data: dict
    owner: Any  # the program that used them last


class DrawnBlock:
    """With tasks: stands for every batch of an iteration, whatever the solver indexes it with."""

    def __getitem__(self, index):
        return self


def partitions_of(view, solver):
    """Return dict of level to `Partition`; raises ValueError with a sentence for a batch size that cannot be."""
    batch_size = getattr(solver, "batch_size", "full")
    outer = getattr(solver, "outer_batch_size", "same")
    name = "batch_size" if outer == "same" else "outer_batch_size"
    if view.tasks is not None and outer == "full":  # within a task every row of F is taken
        outer = "same"
    if view.tasks is not None and outer != "same":
        raise ValueError(
            f"outer_batch_size is {shown(outer)}, but {view.name} draws tasks, which hold rows of both levels; "
            "leave it 'same'."
        )
    return {
        "inner": Partition.of(view.n_samples("inner"), batch_size),
        "outer": Partition.of(view.n_samples("outer"), batch_size if outer == "same" else outer, name),
    }


class BackendProgram:
    """What the programs of step functions and of host solvers share: the problem put on a backend.

    Parameters
    ----------
    solver : benchmark_utils.running.solver.BackendSolver
        With resolved parameters. The program sets its ``bk``, ``partitions``, ``problem`` and ``plan``.
    view : benchmark_utils.problem.problem.View
    rules : Rules
    vectorised : bool
        Whether the program is for many members at once, see `sweep`.

    Attributes
    ----------
    compile_time : float
        Seconds of compilation so far.
    longest : int
        Most iterations of one launch.
    """

    def __init__(self, solver, view, rules, vectorised=False):
        self.solver, self.view, self.rules = solver, view, rules
        self.bk = get_backend(solver.backend, rules.device, rules.precision)
        if vectorised:  # primitives that take a leading axis of members
            self.bk = self.bk.vectorised()
        self.partitions = partitions_of(view, solver)
        self.spec = Spec.of(view, self.partitions)
        solver.bk, solver.partitions, solver.problem = self.bk, self.partitions, view
        self.compile_time, self.longest = 0.0, 1 << 30
        self.z0, self.x0, self.seed = None, None, 0
        self.hp_type = collections.namedtuple("HyperParameters", hyper_parameter_names(type(solver)))
        self.set_values({})
        self.plan = solver.plan = solver.draws()
        self.stream_plan = self.plan
        if view.tasks is not None:  # one block of tasks is drawn; what is no batch is drawn as ever
            others = {role: draw for role, draw in self.plan.items() if draw.kind not in ("inner", "outer")}
            self.stream_plan = {"tasks": inner(), **others}
        self.draws_type = collections.namedtuple("Draws", self.stream_plan)
        bytes_each = max(1, self.streams().bytes_per_iteration())
        if self.stream_plan:
            length = min(CHUNK_ITERATIONS, max(FEW_ITERATIONS, FEW_BYTES // bytes_each), CHUNK_BYTES // bytes_each)
            self.longest = self.length = max(1, length)

    def set_values(self, values):
        """Set hyper-parameters (dict of name to float); the others take the solver's values. Nothing is compiled."""
        given = {name: getattr(self.solver, name) for name in self.hp_type._fields} | values
        self.hp = self.hp_type(*(self.bk.scalar(given[name]) for name in self.hp_type._fields))

    def serves(self, view, rules):
        """Return whether the program is that of a problem under these rules; budgets are no part of it."""
        mine = self.rules
        return self.view is view and (mine.device, mine.precision) == (rules.device, rules.precision)

    def place(self, z0, x0, seed):
        """Set the start and the seed of the next run."""
        self.z0, self.x0, self.seed = z0, x0, seed

    def streams(self, seed=None):
        """Return the streams of draws at their beginning, of the run's seed or of another one."""
        sampling = getattr(self.solver, "sampling", SAMPLING[0])
        return DrawStreams(self.stream_plan, self.partitions, self.seed if seed is None else seed, sampling)

    def take(self, streams, n):
        """Return the draws of the next ``n`` iterations, at most ``longest``, as the backend packs them."""
        return self.bk.pack_draws(self.draws_type(**streams.take(n)), self.length)

    @property
    def data(self):
        """The problem's arrays on the device; one copy a problem, shared by solvers with the same blocks."""
        kept = self.view.device_copies.get("latest")
        if kept is not None and kept.owner is self:
            return kept.data
        partitions = tuple(self.partitions.items())
        key = (*partitions, self.solver.backend.split("-")[0], str(self.bk.device), self.rules.precision)
        key += (getattr(self.bk, "layout", "rows"),)
        if kept is None or kept.key != key:
            self.view.device_copies.pop("latest", None)  # freed before the next copy is made
            view, dtype = self.view, np.dtype(self.rules.precision)
            data = {
                level: self.bk.put(make_blocks(view.rows[level], self.partitions[level], view.data_seed, dtype))
                for level in ("inner", "outer")
            }
            data["shared"] = {name: self.bk.asarray(a) for name, a in view.shared_arrays.items()}
            data["feasible"] = {name: self.bk.asarray(a) for name, a in view.feasible_arrays.items()}
            kept = Device(key, data, self)
        self.view.device_copies["latest"] = kept._replace(owner=self)
        return kept.data

    def next_direction(self, state):
        """Return the outer direction that a run takes next, see `NextDirection`; empty where it is not known."""
        del state
        return {}

    def describe(self):
        """Return facts for the record of a run."""
        return {"backend": self.solver.backend, "precision": self.rules.precision, **self.bk.describe()}


class Program(BackendProgram):
    """The program of a step function: its init and a chunk of iterations, compiled once for all repetitions."""

    def __init__(self, solver, view, rules, vectorised=False):
        super().__init__(solver, view, rules, vectorised)
        self.roles = solver.roles()
        self.in_tasks = [name for name, role in self.roles.items() if role.axes == ("z",)]
        self._init = self._advance = None
        self._next_direction = NextDirection(self)

    @staticmethod
    def why_too_large(solver, view, rules, partitions):
        """Return a sentence if the solver's state does not fit into the memory, else None."""
        itemsize = np.dtype(rules.precision).itemsize
        return memory.why_too_large(solver.name, solver.roles(), view, partitions, itemsize)

    # ------------------------------------------------------------------ what is compiled
    def counted_init(self, z0, x0, data):
        """Return (the first State, its counts)."""
        oracles = Oracles(self.bk, self.spec, data)
        if self.view.tasks is not None:
            part = self.partitions["inner"]
            blocks = (part.n_blocks,) if self.view.tasks.warm else ()
            z0 = self.bk.zeros((*blocks, part.batch_size, z0.shape[0])) + z0
        return self.solver.init(z0, x0, oracles), oracles.ledger.vector()

    def counted_step(self, state, hp, data, draws):
        """Return (the State after one iteration, its counts)."""
        if self.view.tasks is not None:
            return self._step_of_tasks(state, hp, data, draws)
        oracles = Oracles(self.bk, self.spec, data)
        return self.solver.step(state, oracles, hp, draws), oracles.ledger.vector()

    def _step_of_tasks(self, state, hp, data, draws):
        """Gather the rows of the drawn tasks, step, and put the rows back."""
        bk, block = self.bk, draws.tasks
        oracles = Oracles(bk, self.spec, data, block)
        everything = {role: DrawnBlock() for role in self.plan} | draws._asdict()
        draws = collections.namedtuple("Draws", self.plan)(**{role: everything[role] for role in self.plan})
        if self.view.tasks.warm:
            rows = {name: bk.row_read(getattr(state, name), block) for name in self.in_tasks}
        else:  # forgotten: every iteration starts where the first one did
            first = self.solver.init(bk.zeros(state.z.shape) + data["start"], state.x, oracles)
            rows = {name: getattr(first, name) for name in self.in_tasks}
        oracles.prepare(state.x)
        new = self.solver.step(state._replace(**rows), oracles, hp, draws)
        if self.view.tasks.warm:
            back = {name: bk.row_set(getattr(state, name), block, getattr(new, name)) for name in self.in_tasks}
            new = new._replace(**back)
        return new, oracles.ledger.vector()

    def compile_start(self):
        """Compile the start, once."""
        if self._init is None:
            self._init, seconds = self.bk.compile_once(self.counted_init, *self._start(), self.data)
            self.compile_time += seconds

    def compile(self):
        """Compile, once, and run everything once on a throw-away state."""
        self.compile_start()
        start, data = self._start(), self.data
        if self._advance is None:
            oracles = Oracles(self.bk, self.spec, data)
            by_block = all(goes_by_block(oracles, level, FULL) for level in self.partitions)
            self.bk.short_sums = sums_are_short(self.solver, self.view.tasks, self.partitions, by_block)
            state, _ = self._init(*start, data)
            draws = self.take(self.streams(), 1)
            self._advance, seconds = self.bk.compile_chunk(self.counted_step, state, self.hp, data, draws)
            self.compile_time += seconds
        state, _ = self._init(*start, data)
        self.bk.sync(self._advance(state, self.hp, data, self.take(self.streams(), 1), 1)[0])

    def _start(self):
        start = tuple(self.bk.asarray(a) for a in (self.z0, self.x0))
        if self.view.tasks is not None:
            self.data["start"] = start[0]
        return start

    # ------------------------------------------------------------------ what the run loop calls
    def begin(self):
        """Launch the start of a run."""
        carry, counts = self._init(*self._start(), self.data)
        return Launched(carry, carry.x, self.streams(), (counts, True), 0)

    def advance(self, state, n):
        """Launch ``n`` iterations; consumes ``state``."""
        draws = self.take(state.draws, n)
        carry, x_before, counts, finite = self._advance(state.carry, self.hp, self.data, draws, n)
        return Launched(carry, x_before, state.draws, (counts, finite), n)

    def wait(self, launched):
        """Wait for the device; return (counts, int64 array, status)."""
        self.bk.sync(launched.carry)
        counts, finite = launched.pending
        return np.array([int(count) for count in counts], np.int64), "running" if bool(finite) else "diverged"

    def next_direction(self, state):
        """Return the outer direction that a run takes next, see `NextDirection`; empty with tasks."""
        return {} if self.view.tasks is not None else self._next_direction(state)

    # ------------------------------------------------------------------ states on the host
    def iterates(self, state):
        """Return dict(z, x, d_x, x_before) as float64 vectors; z is None where tasks forget theirs."""
        s = state.carry
        arrays = {"x": s.x, "d_x": s.d_x, "x_before": state.x_before}
        out = {name: self.bk.to_numpy(array) for name, array in arrays.items()}
        if self.view.tasks is None:
            return {"z": self.bk.to_numpy(s.z), **out}
        if not self.view.tasks.warm:
            return {"z": None, **out}
        blocks, table = self.data["inner"], self.bk.to_numpy(s.z)
        real = self.bk.to_numpy(blocks.weights) > 0
        z = np.empty((self.view.n_samples("inner"), table.shape[-1]))
        z[self.bk.to_numpy(blocks.ids)[real].astype(int)] = table[real]
        return {"z": z.ravel(), **out}

    def to_host(self, tree):
        """Return a State, or an array, as NumPy arrays and numbers of their own types."""
        return (
            {k: self.bk.to_host(a) for k, a in tree._asdict().items()}
            if hasattr(tree, "_asdict")
            else self.bk.to_host(tree)
        )

    def to_device(self, tree):
        """Return on the device what `to_host` returned."""
        if isinstance(tree, dict):
            return self.solver.state_class()(**{k: self.bk.from_host(a) for k, a in tree.items()})
        return self.bk.from_host(tree)
