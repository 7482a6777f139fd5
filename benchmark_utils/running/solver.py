"""The contract of a solver written as a step function, and what runs it on any backend."""

import collections
import math

from benchmark_utils import sampling
from benchmark_utils.backends import get_backend, why_unavailable
from benchmark_utils.ledger import ORACLES
from benchmark_utils.oracles import Oracles, Spec
from benchmark_utils.sampling import Partition, make_blocks
from benchmark_utils.timed_solver import TimedSolver

#: Draws are generated in pieces of at most this many iterations and bytes.
CHUNK_ITERATIONS, CHUNK_BYTES = 4096, 1 << 25


class Log(collections.namedtuple("Log", "low high")):
    """Search range on a logarithmic scale."""


class Choice(tuple):
    """Search over a list of values."""


class BackendSolver(TimedSolver):
    """What solvers share, however they are written: the checks, and a problem put on a backend outside the clock.

    A solver file states ``name``, ``parameters`` and ``requirements`` as literals, ``requires`` (names of
    `Problem.offers`), ``search_space`` and ``references``. Parameters whose default is a float are
    hyper-parameters, collected in the NamedTuple ``hp``; the others are structure and stay attributes of ``self``.
    A method without the parameter ``batch_size`` works on all samples at once.
    """

    #: Behaviour with full batches on a strongly convex quadratic, see tests/test_every_solver.py.
    deterministic = {"limit": "not stated"}

    #: "single" or "double", for docs/solvers.md; None stands for double where ``n_inner_steps`` or ``n_steps`` is
    #: more than 1 by default, and single otherwise.
    loop_kind = None

    # ------------------------------------------------------------------ what a subclass or a solver file defines
    def draws(self):
        """Return the draw plan of one outer iteration: dict of role to `sampling.Draw`; empty if nothing is drawn."""
        return {}

    def prepare(self):
        """Reset what depends on the problem; called when a new one has been put on the backend."""

    def why_not(self, problem, partitions):
        """Return a sentence if this algorithm cannot run on the problem, else None."""

    def why_not_backend(self):
        """Return a sentence if this algorithm cannot run on the chosen backend, else None."""

    # ------------------------------------------------------------------ checks
    def skip(self, problem, **objective):
        """Return (True, sentence) if this configuration cannot run here."""
        reason = why_unavailable(self.backend, self.device, self.precision) or self.why_not_backend()
        if reason is None:
            reason = self._why_bad_parameters() or why_requirements_not_met(self, problem)
        if reason is None:
            try:
                reason = self.why_not(problem, self._partitions(problem))
            except ValueError as error:  # the sentence of Partition.of
                reason = str(error)
        return reason is not None, reason

    def _why_bad_parameters(self):
        for name in hyper_parameter_names(self):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
                return f"{name} is {value!r}; it must be a finite number that is not negative."
            if value == 0 and name in ("step_size", "outer_ratio"):
                return f"{name} is 0, so nothing would move; give it a positive number."
        return None

    def _partitions(self, problem):
        # No class attribute gives this default: benchopt sets no parameter whose name the class already has.
        batch_size = getattr(self, "batch_size", "full")
        return {
            "inner": Partition.of(problem.inner.n_samples, batch_size),
            "outer": Partition.of(problem.outer.n_samples, batch_size),
        }

    # ------------------------------------------------------------------ set-up, outside the clock
    def set_objective(self, problem, z0, x0, seed, rules):
        """Receive the problem, its start, the seed of the repetition and the rules; called every repetition."""
        self.seed, self.rules = seed, rules
        if getattr(self, "problem", None) is not problem:
            self.problem = problem
            self.bk = get_backend(self.backend, self.device, self.precision)
            self.partitions = self._partitions(problem)
            self.spec = Spec.of(problem, self.partitions)
            self.data = {
                level: self.bk.put(
                    make_blocks(getattr(problem, level).arrays, self.partitions[level], problem.data_seed)
                )
                for level in ("inner", "outer")
            }
            names = hyper_parameter_names(self)
            values = [self.bk.scalar(getattr(self, name)) for name in names]
            self.hp = collections.namedtuple("HyperParameters", names)(*values)
            self.plan = self.draws()
            self.roles = collections.namedtuple("Draws", self.plan)
            self.start_draws()
            bytes_each = max(1, self._streams.bytes_per_iteration())
            self.longest_advance = self._length = max(1, min(CHUNK_ITERATIONS, CHUNK_BYTES // bytes_each))
            self.prepare()
        self._start = (z0, x0)

    def start_draws(self):
        """Go back to the first draws of the repetition."""
        self._streams = sampling.DrawStreams(self.plan, self.partitions, self.seed)

    def take_draws(self, n):
        """Return the draws of the next ``n`` iterations, at most ``longest_advance``, as the backend packs them."""
        return self.bk.pack_draws(self.roles(**self._streams.take(n)), self._length)

    def _on_device(self, start):
        return tuple(self.bk.asarray(a) for a in start)

    def describe_run(self):
        """Return backend facts."""
        return {"backend": self.backend, "precision": self.precision, **self.bk.describe()}


class BilevelSolver(BackendSolver):
    """A bilevel algorithm as a pure step function: a file adds `draws`, `init` and `step`.

    The hyper-parameters are traced leaves that reach `step` in ``hp``, so that no change of them compiles again.
    """

    #: False for algorithms with random lengths or branches: those cannot be unrolled into one torch graph.
    static_graph = True

    # ------------------------------------------------------------------ what a solver file defines
    def draws(self):
        """Return the draw plan of one outer iteration: dict of role to `sampling.Draw`."""
        raise NotImplementedError

    def init(self, z0, x0, oracles):
        """Return the first State, a NamedTuple with at least z, x, d_x and t; oracles used here are counted."""
        raise NotImplementedError

    def step(self, s, oracles, hp, draws):
        """Return the State after one outer iteration."""
        raise NotImplementedError

    # ------------------------------------------------------------------ set-up, outside the clock
    def why_not_backend(self):
        """Return a sentence if the random shape of the algorithm rules the backend out."""
        if self.backend == "torch-compiled" and not self.static_graph:
            return f"{self.name} draws lengths or branches, which torch-compiled cannot unroll; use jax or torch."

    def prepare(self):
        """Forget the program compiled for another problem."""
        self._advance = None

    def pre_run_hook(self, callback):
        """Compile, once per problem, and run everything once on a throw-away state."""
        self.start_draws()
        if self._advance is None:
            start = self._on_device(self._start)
            self._init, init_seconds = self.bk.compile_once(self._counted_init, *start, self.data)
            state, _ = self._init(*start, self.data)
            step, draws = self._counted_step, self.take_draws(1)
            self._advance, seconds = self.bk.compile_chunk(step, state, self.hp, self.data, draws)
            self.compile_time = init_seconds + seconds
        state, _ = self._init(*self._on_device(self._start), self.data)
        self.bk.sync(self._advance(state, self.hp, self.data, self.take_draws(1), 1)[0])

    def _counted_init(self, z0, x0, data):
        oracles = Oracles(self.bk, self.spec, data)
        return self.init(z0, x0, oracles), oracles.ledger.vector()

    def _counted_step(self, state, hp, data, draws):
        oracles = Oracles(self.bk, self.spec, data)
        return self.step(state, oracles, hp, draws), oracles.ledger.vector()

    # ------------------------------------------------------------------ the timed part
    def begin(self):
        """Build the first state."""
        self.start_draws()
        self.state, counts = self._init(*self._on_device(self._start), self.data)
        self.x_before, self._pending = self.state.x, (counts, True)

    def advance(self, n):
        """Launch ``n`` outer iterations."""
        draws = self.take_draws(n)
        self.state, self.x_before, counts, finite = self._advance(self.state, self.hp, self.data, draws, n)
        self._pending = (counts, finite)

    def sync(self):
        """Wait for the device."""
        self.bk.sync(self.state)
        counts, finite = self._pending
        self.ledger_totals += [int(count) for count in counts]
        self.diverged = not bool(finite)

    def iterates(self):
        """Return z, x, the last outer direction and the x it was taken at."""
        s = self.state
        arrays = dict(z=s.z, x=s.x, d_x=s.d_x, x_before=self.x_before)
        return {name: self.bk.to_numpy(array) for name, array in arrays.items()}


def hyper_parameter_names(solver):
    """Return the names of the parameters whose first default is a float, sorted."""
    return sorted(name for name, values in solver.parameters.items() if isinstance(values[0], float))


def why_requirements_not_met(solver, problem):
    """Return a sentence naming the oracles that the solver requires and the problem does not offer, or None."""
    missing = sorted(set(solver.requires) - problem.offers)
    if not missing:
        return None
    return (
        f"{solver.name} requires {', '.join(missing)}, which {problem.name} does not offer "
        f"(its lower level is a {problem.lower_level.replace('_', ' ')})."
    )


__all__ = ["BackendSolver", "BilevelSolver", "Choice", "Log", "ORACLES", "hyper_parameter_names"]
