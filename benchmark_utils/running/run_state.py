"""All that a run is at one moment, and how it is written down and taken up again."""

from typing import Any, NamedTuple

import numpy as np

from benchmark_utils.oracles.draws import DrawStreams
from benchmark_utils.oracles.ledger import ORACLES


class RunState(NamedTuple):
    """All that a run is between two calls of `run.run`'s loop. Its carry is consumed by the next iteration."""

    carry: Any  # the solver's State, or what a host solver carries
    x_before: Any  # x before the last iteration, at which the last direction was taken
    draws: DrawStreams  # streams, at the position of the next iteration
    ledger: np.ndarray  # samples so far, int64 in the order of `ORACLES`
    seconds: float = 0.0  # solver time so far: start and iterations; no compilation, no evaluation
    n_iter: int = 0  # outer iterations done
    status: str = "running"  # or "diverged": the iterates left the finite numbers; "exhausted": nothing is left to do
    pace: float = 0.0  # seconds of the slowest recent iteration, to size the next launch
    cost: float = 0.0  # samples of the dearest recent iteration, likewise

    @property
    def diverged(self):
        """Whether the iterates left the finite numbers."""
        return self.status == "diverged"

    def counts(self):
        """Return the ledger as dict of oracle to int."""
        return dict(zip(ORACLES, map(int, self.ledger), strict=True))


def save(program, state):
    """Return a run state as a dict of NumPy arrays, Python numbers and the snapshot of a host solver."""
    plain = dict(carry=program.to_host(state.carry), x_before=program.to_host(state.x_before))
    return plain | dict(draws=state.draws.position(), rest=tuple(state[3:]))


def load(program, saved):
    """Return the run state that `save` wrote down, on the device of ``program``."""
    streams = program.streams()
    streams.go_to(saved["draws"])
    carry, x_before = program.to_device(saved["carry"]), program.to_device(saved["x_before"])
    return RunState(carry, x_before, streams, *saved["rest"])
