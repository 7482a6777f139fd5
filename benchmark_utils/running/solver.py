"""The contract of a solver written as a step function, and what solvers of every kind share."""

import gc
import inspect
import sys

import numpy as np
from benchopt import BaseSolver

from benchmark_utils.backends import why_unavailable
from benchmark_utils.files.names import why_twice
from benchmark_utils.problem.parameters import NumericParameters, shown
from benchmark_utils.problem.variables import roles_of
from benchmark_utils.running import journal as journals
from benchmark_utils.running import memory
from benchmark_utils.running import run as run_loop
from benchmark_utils.running.program import Program, partitions_of
from benchmark_utils.running.requirements import asked_by_step, why_not_offered
from benchmark_utils.running.run_state import save
from benchmark_utils.running.search_space import Int, hyper_parameter_names, resolve, why_bad_values


class BackendSolver(NumericParameters, BaseSolver):
    """What solvers share, however they are written: parameters, checks, one program, one run loop.

    A solver file states ``name``, ``parameters`` and ``requirements`` as literals, ``choices``, ``least``,
    ``search_space`` and ``references``. A method without the parameter ``batch_size`` works on all samples at once;
    one that has it may have ``outer_batch_size`` and ``sampling`` too, which are honoured here, not in its file.
    """

    sampling_strategy = "callback"

    #: Allowed words of word-valued parameters; the type int among them stands for whole numbers.
    choices = {}
    #: Least value of integer parameters, where it is not 1, and greatest, where it is not `search_space.LONGEST`.
    least, most = {}, {}
    #: Ranges of the hyper-parameters, see `search_space`; their default is the word "tuned".
    search_space = {}
    references = []

    #: Behaviour with full batches on a strongly convex quadratic, see tests/contract.
    deterministic = {"limit": "not stated"}

    #: "single" or "double", for docs/solvers.md; None stands for double where an inner length is more than 1 by
    #: default, and single otherwise.
    loop_kind = None

    program_class = Program
    #: A recorded row that benchopt is given again, see `journal.replay`.
    replayed = None

    # ------------------------------------------------------------------ what a solver file may define
    def draws(self):
        """Return the draw plan of one outer iteration: dict of role to `draws.Draw`; empty if nothing is drawn."""
        return {}

    def why_not(self, problem, partitions):
        """Return a sentence if this algorithm cannot run on the problem, else None."""

    def why_not_backend(self):
        """Return a sentence if this algorithm cannot run on the chosen backend, else None."""

    def adaptation(self, state):
        """Return how the method learns a new task, an `Adaptation`, from a `RunState`; None where it does not say."""

    def required(self):
        """Return the names of what this algorithm asks of a problem, see `Oracles.asked`."""
        raise NotImplementedError

    # ------------------------------------------------------------------ checks
    @classmethod
    def is_fraction(cls, name):
        """Return whether a parameter is a float: its default is one, or it is searched on a logarithmic scale."""
        return name in hyper_parameter_names(cls) or super().is_fraction(name)

    def skip(self, problem, rules, **objective):
        """Return (True, sentence) if this configuration cannot run here."""
        reason = self._why_not(problem, rules)
        return reason is not None, reason

    def _why_not(self, view, rules):
        reason = why_twice(type(self)) or why_unavailable(self.backend, rules.device, rules.precision)
        reason = reason or self.why_not_backend()
        if reason is not None:
            return reason
        self.prepare(view, rules)
        reason = why_bad_values(type(self), self.values)
        if reason is not None:
            return reason
        try:
            partitions = partitions_of(view, self)
            return (
                self.why_not(view, partitions)
                or self._why_too_many_draws(view, partitions)
                or why_not_offered(self, view)
                or memory.why_too_much_at_once(self, view, partitions)
                or self.program_class.why_too_large(self, view, rules, partitions)
            )
        except ValueError as error:  # the sentence of Partition.of
            return str(error)
        except (ZeroDivisionError, OverflowError) as error:
            return self._why_not_computed(error)

    def _why_too_many_draws(self, view, partitions):
        if view.tasks is not None:  # one block of tasks takes the place of every batch
            return None
        planned = object.__new__(type(self))
        planned.__dict__ |= self.__dict__
        planned.problem, planned.partitions = view, partitions
        reason = memory.why_too_many_draws(self.name, planned.draws())
        return reason and f"{reason} {self._integers()}"

    def _why_not_computed(self, error):
        """Return the sentence about hyper-parameters with which a step cannot be computed."""
        values = {name: self.values[name] for name in hyper_parameter_names(type(self))}
        if isinstance(error, ZeroDivisionError):
            least = min(values.values())
            names = " or ".join(name for name, value in values.items() if value == least)
            return f"{names} is {least}: {self.name} divides by it, or by what it makes 0; give it a larger number."
        name = max(values, key=lambda name: abs(values[name]))
        return f"{name} is {shown(values[name])}: {self.name} takes a power of it that no float holds; give it less."

    def _integers(self):
        """Return the sentence that says which whole numbers there are to change."""
        names = [name for name, value in self.values.items() if type(value) is int and name not in self.search_space]
        names += [name for name, space in self.search_space.items() if type(space) is Int]
        return f"Now {', '.join(f'{name} = {shown(self.values[name])}' for name in names)}."

    def prepare(self, view, rules):
        """Set every parameter to the value that this problem's runs use, and the precision to that of the rules."""
        self.precision, self.itemsize = rules.precision, np.dtype(rules.precision).itemsize
        if not hasattr(self, "given"):
            self.given = {name: getattr(self, name) for name in self.parameters}
        self.values, self.fallen_back = resolve(type(self), self.given, view)
        for name, value in self.values.items():
            setattr(self, name, value)

    # ------------------------------------------------------------------ set-up, outside the clock
    def set_objective(self, problem, z0, x0, seed, rules, journal=None):
        """Receive the view of a problem, its start, the seed of the repetition and the rules; every repetition."""
        if journal is not None:  # benchopt's runner: all repetitions of one solver, then those of the next
            before = problem.device_copies.get("solver")
            if before not in (None, self):
                before.release()
            problem.device_copies["solver"] = self
        if getattr(self, "program", None) is None or not self.program.serves(problem, rules):
            self.prepare(problem, rules)
            self._say_what_was_not_tuned(problem)
            self.program = self.program_class(self, problem, rules)
        self.rules = self.program.rules = rules
        self.journal = journal
        self.program.place(z0, x0, seed)
        memory.forget_peak()

    def release(self):
        """Free what the runs have left: programs, arrays, rows. benchopt keeps its solvers until all have run."""
        self.program = self.run_state = self.journal = self._callback = None
        for name in ("bk", "problem", "partitions", "plan"):
            vars(self).pop(name, None)
        gc.collect()  # compiled programs hang in cycles; left to Python's own pace, 2 MB a solver pile up

    def _say_what_was_not_tuned(self, view):
        names = [name for name in self.fallen_back if name in self.parameters]
        if names:
            values = ", ".join(f"{name} = {self.values[name]}" for name in names)
            print(f"{self.name} on {view.name}: nothing tuned, so {values} (start of the range).", file=sys.stderr)

    def pre_run_hook(self, callback):
        """Compile, once per problem, and run everything once on a throw-away state."""
        self.program.compile()

    # ------------------------------------------------------------------ the run
    def get_next(self, stop_val):
        """Record a row at every callback."""
        return stop_val + 1

    def run(self, callback):
        """Run until a budget is spent, the iterates diverge or the callback says stop."""
        self._callback = callback

        def record(state):
            self.run_state = state
            return callback()

        state = None
        if self.journal is not None:
            self.journal.open(f"{self} {self.values}", journals.code_hash(inspect.getfile(type(self))))
            state = journals.replay(self, callback)
        recorded = state is not None
        if state is None:
            state = run_loop.begin(self.program)
        self.run_state = run_loop.run(self.program, state, self.rules, record, recorded)
        if not run_loop.finished(self.run_state, self.rules):
            print(
                f"\n{self.name} was stopped by benchopt's --timeout (wall time, evaluation included) or --max-runs "
                f"after {self.run_state.seconds:.3g} s of solver time, before its budget was spent; raise them, and "
                "pass --no-cache, since benchopt keeps the cut curve.",
                file=sys.stderr,
            )
        if self.journal is not None:
            self.journal.close()

    def get_result(self):
        """Return the iterates and the totals, as NumPy arrays and Python numbers."""
        if self.replayed is not None:
            return self.replayed
        state = self.run_state
        result = dict(
            **self.program.iterates(state),
            counts=state.counts(),
            n_iter=state.n_iter,
            seconds=state.seconds,
            compile_time=float(self.program.compile_time),
            diverged=state.diverged,
            hyper_parameters={name: float(getattr(self, name)) for name in hyper_parameter_names(type(self))},
            run_facts=self.program.describe(),
            peak_memory=memory.peak_memory(self.bk),
        )
        if self.problem.tasks is not None:
            result["adaptation"] = self.adaptation(state)
        if self.rules.diagnose:
            result["taken"] = self.program.next_direction(state)
        if self.journal is not None:
            clock = getattr(self._callback, "time_iter", state.seconds)
            result |= dict(clock=clock, saved=lambda: save(self.program, state))
        return result


class BilevelSolver(BackendSolver):
    """A bilevel algorithm as a pure step function: a file adds `State`, `draws` and `step`.

    The hyper-parameters are traced leaves that reach `step` in ``hp``, so that no change of them compiles again.
    """

    #: False for algorithms with random lengths or branches: those cannot be unrolled into one torch graph.
    static_graph = True

    #: What the error of the outer direction is split by, see docs/statistics.md: the z at which grad_x F was asked for
    #: at x_k last, and the v of the cross product there, an estimate of -H^{-1} grad_z F. ("z",) where the cross
    #: product takes another vector, () where the direction belongs to several z.
    direction_at = ("z", "v")

    # ------------------------------------------------------------------ what a solver file defines
    def init(self, z0, x0, oracles):
        """Return the first State; oracles used here are counted. By default what the roles of its fields say."""
        return self.first_state(z0, x0)

    def step(self, s, oracles, hp, draws):
        """Return the State after one outer iteration."""
        raise NotImplementedError

    # ------------------------------------------------------------------ what follows from it
    @classmethod
    def state_class(cls):
        """Return the NamedTuple ``State`` of the solver's file."""
        return cls.step.__globals__["State"]

    def roles(self):
        """Return dict of field of State to its `Role` with the parameters of this instance."""
        return {name: role.of(self) for name, role in roles_of(self.state_class()).items()}

    def first_state(self, z0, x0):
        """Return the State whose fields start as their roles say; with tasks z0 is a table."""
        blocks = {level: part.n_blocks for level, part in self.partitions.items()}
        sizes = {"z": z0.shape[-1], "x": x0.shape[0], **blocks}

        def first(name, role):
            if role.axes == () and role.columns is None:
                return self.bk.counter()
            if role.axes not in (("z",), ("x",)):
                return self.bk.zeros(role.shape(sizes))
            like = z0 if role.axes == ("z",) else x0
            return 1 * like if role.starts or name == role.axes[0] else 0 * like

        State = self.state_class()
        return State(**{name: first(name, role) for name, role in self.roles().items()})

    def required(self):
        """Return the names of what this algorithm asks of a problem, found by listening to its step."""
        return asked_by_step(self)

    def why_not_backend(self):
        """Return a sentence if the random shape of the algorithm rules the backend out."""
        if self.backend == "torch-compiled" and not self.static_graph:
            return f"{self.name} draws lengths or branches, which torch-compiled cannot unroll; use jax or torch."
        return None
