"""Many runs of one solver in one program: members differ in hyper-parameters and seeds and share the data.

Members of one seed run at the same time: they take the same draws, so that rows are read once for all of them. Each
has its own state, ledger and status, and ends up where its single run would. What a member is when its iterates leave
the finite numbers, or when its budget is spent, is set aside, and counts nothing more.
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
        out, of_seed = [None] * len(members), {}
        for i, member in enumerate(members):
            of_seed.setdefault(member.seed, []).append(i)
        size = self.group_size()
        for numbers in (own[k : k + size] for own in of_seed.values() for k in range(0, len(own), size)):
            record = callback and (lambda i, state, numbers=numbers: callback(numbers[i], state))
            for i, state in zip(numbers, self._run_group([members[i] for i in numbers], record), strict=True):
                out[i] = state
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
        group.record(record, states, range(len(states)))
        going = still_going(states, rules)
        for target in checkpoints(view.checkpoints_per_octave, view.max_checkpoints - 2):
            if not going:
                break
            racing = going
            while going and states[going[0]].n_iter < target:
                left = min(affordable(state, rules) for state in distinct(states[i] for i in going))
                n = min(target - states[going[0]].n_iter, group.longest, left)
                states = group.advance(states, going, n)
                before, going = going, still_going(states, rules)
                if going:  # else nothing moves any more
                    group.set_aside(set(before) - set(going))
            group.record(record, states, racing)
        return group.on_host(states, range(len(states)))


def distinct(states):
    """Return the states without repetitions: members that count the same share one."""
    return list({id(state): state for state in states}.values())


def still_going(states, rules):
    """Return the numbers of the members that are not finished."""
    over = {id(state): finished(state, rules) for state in distinct(states)}
    return [i for i, state in enumerate(states) if not over[id(state)]]


class Group:
    """The members of a sweep that run at the same time, all of one seed."""

    def __init__(self, program, members, start, compiled):
        self.program, self.members, self.compiled = program, members, compiled
        bk = program.bk
        names = program.hp_type._fields
        given = {name: getattr(program.solver, name) for name in names}
        values = [{**given, **member.values} for member in members]
        self.hp = program.hp_type(*(bk.asarray(np.array([float(v[name]) for v in values])) for name in names))
        self.streams = program.streams(members[0].seed)
        each = max(1, self.streams.bytes_per_iteration())
        self.longest = max(1, min(GROUP_ITERATIONS, max(FEW_ITERATIONS, FEW_BYTES // each), CHUNK_BYTES // each))
        self.ends = {}  # member -> its (carry, x before the last step) on the host, once it has ended
        program.place(*start(members[0].seed), members[0].seed)

    def first_states(self):
        """Return the run states at the start, which members share."""
        program, n = self.program, len(self.members)
        program.compile_start()
        first = program.begin()
        self.carry = program.bk.copies(first.carry, n)
        self.x_before = 1 * self.carry.x  # the carry is consumed
        counts, status = program.wait(first)
        return [RunState(None, None, self.streams, np.zeros(6, np.int64) + counts, status=status)] * n

    def advance(self, states, going, n):
        """Do ``n`` iterations, of which those of the members ``going`` count, and return all states."""
        program, bk = self.program, self.program.bk
        draws = bk.pack_draws(program.draws_type(**self.streams.take(n)), self.longest)
        if len(self.members) not in self.compiled:
            self.compiled[len(self.members)], seconds = bk.compile_members(
                program.counted_step, self.carry, self.hp, program.data, draws
            )
            program.compile_time += seconds
        began = time.perf_counter()
        launch = self.compiled[len(self.members)]
        self.carry, self.x_before, counts, finite = launch(self.carry, self.hp, program.data, draws, n)
        bk.sync(self.carry)
        elapsed = time.perf_counter() - began
        counts, finite = counts.numpy(), bk.to_numpy(finite) > 0
        out, moved = list(states), {}
        for i in going:
            state, key = states[i], (id(states[i]), counts[i].tobytes(), finite[i])
            if key not in moved:
                moved[key] = state._replace(
                    ledger=state.ledger + counts[i],
                    seconds=state.seconds + elapsed,
                    n_iter=state.n_iter + n,
                    status="running" if finite[i] else "diverged",
                    cost=max(float(counts[i].sum()) / n, state.cost / 2),
                )
            out[i] = moved[key]
        return out

    def set_aside(self, ended):
        """Keep the members that have ended as they are; their places go on without being looked at."""
        to_host = self.program.bk.to_host
        for i in set(ended) - set(self.ends):
            self.ends[i] = type(self.carry)(*(to_host(a[i]) for a in self.carry)), to_host(self.x_before[i])

    def record(self, record, states, members):
        """Hand the run states of some members to a callback, where there is one."""
        if record is not None:
            for i, state in zip(members, self.on_host(states, members), strict=True):
                record(i, state)

    def on_host(self, states, members):
        """Return the run states of some members with their own carries, as NumPy arrays."""
        going, own = [i for i in members if i not in self.ends], dict(self.ends)
        if going:
            carry = [self.program.bk.to_host(a) for a in self.carry]
            x_before = self.program.bk.to_host(self.x_before)
            own |= {i: (type(self.carry)(*(a[i] for a in carry)), x_before[i]) for i in going}
        return [states[i]._replace(carry=own[i][0], x_before=own[i][1]) for i in members]
