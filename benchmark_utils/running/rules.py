"""The rules of a race: the same for every solver, part of the result's name."""

import math
from typing import NamedTuple

from benchmark_utils.backends import DEVICES, PRECISIONS
from benchmark_utils.problem.parameters import as_number, flag, shown

#: Version of what is counted, timed, drawn, evaluated and recorded: the first two numbers of CHANGELOG.md's newest.
VERSION = "0.2"


class Rules(NamedTuple):
    """Where a race is run, in which precision, and when a run ends."""

    device: str = "auto"  # "cpu", "cuda", or "auto": a GPU where there is one
    precision: str = "float32"  # of the solver's arrays
    max_seconds: float = math.inf  # solver time, compilation and evaluation excluded
    max_samples: float = math.inf  # samples of the ledger, all oracles together
    max_iterations: float = math.inf  # outer iterations
    diagnose: bool = False  # whether the rows say where the error of the outer direction comes from

    @classmethod
    def read(cls, **values):
        """Build rules from what a user wrote: numbers may be text, such as "inf" or "1e5"."""
        return cls(**{name: as_number(value) for name, value in values.items()})

    def why_bad(self):
        """Return a sentence about the first rule that cannot be right, or None."""
        for name, options in (("device", DEVICES), ("precision", PRECISIONS)):
            value = getattr(self, name)
            if value not in options:
                return f"{name} is {shown(value)}; choose one of {', '.join(options)}."
        for name in ("max_seconds", "max_samples", "max_iterations"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
                return f"{name} is {shown(value)}; it must be a positive number, or inf for no limit."
        return flag("diagnose", self.diagnose)
