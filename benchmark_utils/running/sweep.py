"""Many runs of one solver in one program: members differ in hyper-parameters and seeds and share the data.

Each member has its own state, draws, ledger and status, and ends up where its single run would. Members whose iterates
leave the finite numbers, or whose budget is spent, stay as they are and count nothing more.
"""

import math
import time
from typing import NamedTuple

import numpy as np
import psutil

from benchmark_utils.running import memory
from benchmark_utils.running.program import CHUNK_BYTES, Program
from benchmark_utils.running.run import affordable, begin, checkpoints, finished, run
from benchmark_utils.running.run_state import RunState

#: Draws of a group are handed over in pieces of at most so many iterations; beyond a few, of at most so many bytes.
GROUP_ITERATIONS, FEW_ITERATIONS, FEW_BYTES = 4096, 64, 1 << 21


class Member(NamedTuple):
    """One run of a sweep."""

    values: dict  # hyper-parameters (those on a logarithmic scale) by name
    seed: int  # of its start and draws


class Sweep:
    """A list of members of one solver on one problem.

    Parameters
    ----------
    solver : BilevelSolver
        Its structural parameters hold for every member; `skip` has been asked.
    view : View
    rules : Rules
        ``max_samples`` and ``max_iterations`` are budgets of each member; seconds are not looked at, since members
        share them.
    start : callable
        ``start(seed) -> (z0, x0)``, float64 NumPy vectors.
    one_by_one : bool
        Run members one after the other in any case.
    """

    def __init__(self, solver, view, rules, start, one_by_one=False):
        self.solver, self.view, self.start = solver, view, start
        self.rules = rules._replace(max_seconds=math.inf)
        solver.prepare(view, rules)
        self.program = Program(solver, view, rules, vectorised=True)
        self._compiled = {}
        #: Whether the backend cannot vectorise this solver, so that members run one after the other.
        self.one_by_one = one_by_one or not self.program.bk.vectorises(solver)
        if self.one_by_one:
            self.program = Program(solver, view, rules)

    def group_size(self, share=memory.MEMORY_SHARE):
        """Return how many members fit into a share of the machine's memory, from the roles of the state."""
        program = self.program
        itemsize = np.dtype(self.rules.precision).itemsize
        fields = memory.state_bytes(self.solver.roles(), self.view, program.partitions, itemsize)
        each = 3 * sum(fields.values()) + program.streams().bytes_per_iteration()  # state, its copy, temporaries
        return max(1, int(share * psutil.virtual_memory().total / each))

    def run(self, members, callback=None):
        """Run all members and return their last states.

        Parameters
        ----------
        members : list of Member
        callback : callable, optional
            ``callback(i, state)`` is called with the number of a member and its `RunState` at every row it would
            record, its start and its end included; the carry holds NumPy arrays.

        Returns
        -------
        list of RunState
            In the order of the members, carries as NumPy arrays.
        """
        if self.one_by_one:
            return [self._run_one(i, member, callback) for i, member in enumerate(members)]
        size, out = min(len(members), self.group_size()), []
        for first in range(0, len(members), size):
            record = callback and (lambda i, state, first=first: callback(first + i, state))
            out += self._run_group(members[first : first + size], record)
        return out

    def _run_one(self, i, member, callback):
        program = self.program
        program.set_values(member.values)
        program.place(*self.start(member.seed), member.seed)
        program.compile()

        def on_host(state):
            carry = program.bk.tree_map(program.bk.to_host, state.carry)
            return state._replace(carry=carry, x_before=program.bk.to_host(state.x_before))

        record = lambda state: callback is None or callback(i, on_host(state)) or True
        return on_host(run(program, begin(program), self.rules, record))

    # ------------------------------------------------------------------ one group
    def _run_group(self, members, record):
        group, rules, view = Group(self.program, members, self.start, self._compiled), self.rules, self.view
        states = group.first_states()
        still_going = lambda: [i for i, s in enumerate(states) if not finished(s, rules)]
        group.record(record, states, range(len(states)))
        for target in checkpoints(view.checkpoints_per_octave, view.max_checkpoints - 2):
            racing = going = still_going()
            if not going:
                break
            while going and states[going[0]].n_iter < target:
                left = min(affordable(states[i], rules) for i in going)
                n = min(target - states[going[0]].n_iter, group.longest, left)
                states = group.advance(states, going, n)
                going = still_going()
            group.record(record, states, racing)
        return group.on_host(states, range(len(states)))


class Group:
    """The members of a sweep that run at the same time."""

    def __init__(self, program, members, start, compiled):
        self.program, self.members, self.start = program, members, start
        bk, n = program.bk, len(members)
        names = program.hp_type._fields
        given = {name: getattr(program.solver, name) for name in names}
        values = [{**given, **member.values} for member in members]
        self.hp = program.hp_type(*(bk.asarray(np.array([float(v[name]) for v in values])) for name in names))
        self.streams = [program.streams(member.seed) for member in members]
        each = max(1, n * self.streams[0].bytes_per_iteration())
        self.longest = max(1, min(GROUP_ITERATIONS, max(FEW_ITERATIONS, FEW_BYTES // each), CHUNK_BYTES // each))
        self.compiled = compiled

    def first_states(self):
        """Return the run states at the start; members of one seed share the work."""
        program, by_seed = self.program, {}
        for seed in dict.fromkeys(member.seed for member in self.members):
            program.place(*self.start(seed), seed)
            program.compile_start()
            by_seed[seed] = program.begin()
        carries = [by_seed[member.seed].carry for member in self.members]
        self.carry = program.bk.stack(carries)
        self.x_before = 1 * self.carry.x  # the carry is consumed
        states = []
        for member, streams in zip(self.members, self.streams, strict=True):
            counts, status = program.wait(by_seed[member.seed])
            states.append(RunState(None, None, streams, np.zeros(6, np.int64) + counts, status=status))
        return states

    def advance(self, states, going, n):
        """Do ``n`` iterations of the members ``going`` and return all states."""
        program, bk = self.program, self.program.bk
        active = np.isin(np.arange(len(states)), going)
        draws = self._draws(active, n)
        if len(self.members) not in self.compiled:
            self.compiled[len(self.members)], seconds = bk.compile_members(
                program.counted_step, self.carry, self.hp, program.data, draws
            )
            program.compile_time += seconds
        began = time.perf_counter()
        launch = self.compiled[len(self.members)]
        self.carry, x_before, counts, finite = launch(self.carry, self.hp, program.data, draws, n, active)
        bk.sync(self.carry)
        elapsed = time.perf_counter() - began
        moved = bk.asarray(np.where(active, 1.0, 0.0))[:, None] > 0  # the others keep theirs
        self.x_before = bk.xp.where(moved, x_before, self.x_before)
        counts, finite = counts.numpy(), bk.to_numpy(finite) > 0
        out = []
        for i, state in enumerate(states):
            if active[i]:
                spent = counts[i]
                state = state._replace(
                    ledger=state.ledger + spent,
                    seconds=state.seconds + elapsed,
                    n_iter=state.n_iter + n,
                    status="running" if finite[i] else "diverged",
                    cost=max(float(spent.sum()) / n, state.cost / 2),
                )
            out.append(state)
        return out

    def _draws(self, active, n):
        """Return the draws of ``n`` iterations with a second axis of members; those of idle members are zero."""
        program, taken = self.program, []
        for streams, going in zip(self.streams, active, strict=True):
            if going:
                taken.append(streams.take(n))
            else:
                taken.append({role: 0 * a for role, a in (taken[-1] if taken else streams.peek(n)).items()})
        arrays = {role: np.stack([t[role] for t in taken], axis=1) for role in program.stream_plan}
        return program.bk.pack_members(program.draws_type(**arrays), self.longest)

    def record(self, record, states, members):
        """Hand the run states of some members to a callback, where there is one."""
        if record is not None:
            for i, state in zip(members, self.on_host(states, members), strict=True):
                record(i, state)

    def on_host(self, states, members):
        """Return the run states of some members with their own carries, as NumPy arrays."""
        carry = [self.program.bk.to_host(a) for a in self.carry]
        x_before = self.program.bk.to_host(self.x_before)
        own = lambda i: type(self.carry)(*(a[i] for a in carry))
        return [states[i]._replace(carry=own(i), x_before=x_before[i]) for i in members]
