"""The clock, the budgets and the checkpoints: one loop for every solver.

A program advances by whole outer iterations; after each launch the device is waited for, the clock is read, and the
budgets are looked at. Rows are recorded at iteration counts that depend on nothing but the count, plus one last row
where a budget ends the run.
"""

import math
import time

import numpy as np

from benchmark_utils.oracles.ledger import ORACLES
from benchmark_utils.running.run_state import RunState

#: Longest stretch, in seconds, between two looks at the budgets (as far as single iterations allow).
LOOK_EVERY = 0.25

#: Share of what is left of a budget that one launch may be expected to spend, and the share of the whole budget below
#: which the rest is launched at once. What an iteration costs is known from the past only: where it becomes dearer, or
#: the machine slower, up to three times, a run overshoots by a part of the last launch, which is a small one.
LAUNCHED_SHARE, LAST_SHARE = 1 / 3, 0.005


def checkpoints(per_octave=2.0, at_most=math.inf):
    """Yield increasing iteration counts, ``per_octave`` of them for each doubling: 1, 2, 3, 4, 6, 8, 11, 16, ...

    After ``at_most`` of them come counts that no run reaches.
    """
    last, j, n = 0, 0, 0
    while n < at_most:
        count = round(2 ** (j / per_octave))
        if count > last:
            yield count
            last, n = count, n + 1
        j += 1
    while True:
        yield 1 << 62


def begin(program):
    """Return the first run state; its start is on the clock and in the ledger."""
    began = time.perf_counter()
    launched = program.begin()
    counts, status = program.wait(launched)
    seconds = time.perf_counter() - began
    return RunState(
        launched.carry, launched.x_before, launched.draws, np.zeros(len(ORACLES), np.int64) + counts, seconds,
        status=status,
    )  # fmt: skip


def advance(program, state, n):
    """Return the run state after ``n`` more outer iterations, fewer where a budget ends a host solver's loop."""
    began = time.perf_counter()
    launched = program.advance(state, n)
    counts, status = program.wait(launched)
    elapsed = time.perf_counter() - began
    return RunState(
        launched.carry,
        launched.x_before,
        launched.draws,
        state.ledger + counts,
        state.seconds + elapsed,
        state.n_iter + launched.n_done,
        status,
        max(elapsed / max(1, launched.n_done), state.pace / 2),
        max(float(counts.sum()) / max(1, launched.n_done), state.cost / 2),
    )


def run(program, state, rules, callback, recorded=False):
    """Run until a budget is spent, the iterates diverge, nothing is left to do or the callback says stop.

    Parameters
    ----------
    program : Program
    state : RunState
        Consumed.
    rules : Rules
    callback : callable
        ``callback(state) -> bool`` records a row; False ends the run.
    recorded : bool
        Whether the row of ``state`` has been recorded already (a run that goes on).

    Returns
    -------
    RunState
        The last one recorded.
    """
    view = program.view
    # Two rows are the start and the end.
    for target in checkpoints(view.checkpoints_per_octave, view.max_checkpoints - 2):
        if target <= state.n_iter:
            continue
        if not recorded and not callback(state):
            return state
        recorded = False
        if finished(state, rules):
            return state
        while state.n_iter < target and not finished(state, rules):
            n = min(target - state.n_iter, program.longest, affordable(state, rules))
            if state.pace > 0:
                n = max(1, min(n, int(LOOK_EVERY / state.pace)))
            state = advance(program, state, n)
    raise AssertionError("checkpoints never end")


def finished(state, rules):
    """Return whether a run is over."""
    return (
        state.status != "running"
        or state.seconds >= rules.max_seconds
        or state.ledger.sum() >= rules.max_samples
        or state.n_iter >= rules.max_iterations
    )


def affordable(state, rules):
    """Return how many iterations to launch before the budgets are looked at again; at least 1.

    A launch is expected to spend at most `LAUNCHED_SHARE` of what is left of each budget, and to double the number of
    iterations at most, since their cost may grow with it; so it takes some 13 launches to end a run. The cost of an
    iteration is the larger of its average so far and that of the last launches.
    """
    n, spent = rules.max_iterations - state.n_iter, int(state.ledger.sum())
    for limit, used, recent in (
        (rules.max_samples, spent, state.cost), (rules.max_seconds, state.seconds, state.pace),
    ):  # fmt: skip
        if not math.isfinite(limit):
            continue
        if state.n_iter == 0:  # the cost of an iteration is not known yet
            return 1
        each, left = max(used / state.n_iter, recent), limit - used
        share = LAUNCHED_SHARE if left > LAST_SHARE * limit else 1
        if each > 0:
            n = min(n, state.n_iter, math.floor(share * left / each))
    return max(1, n)
