"""A term times a constant."""

import dataclasses

from benchmark_utils.terms.term import Term


@dataclasses.dataclass(frozen=True)
class Scaled(Term):
    """``factor`` times a loss: -1 turns what is minimised into what is maximised.

    Attributes
    ----------
    term : Term
        A loss, not a map.
    factor : float
    """

    term: Term
    factor: float

    @property
    def closed_forms(self):
        """Quantities that `derivatives` gives: those of the term."""
        return self.term.closed_forms

    @property
    def uses_x(self):
        """Whether the value depends on x."""
        return self.term.uses_x

    def sample_values(self, xp, z, x, rows):
        """Return the loss of each row, shape (b,)."""
        return self.factor * self.term.sample_values(xp, z, x, rows)

    def penalty(self, xp, z, x):
        """Return the penalty, a scalar."""
        return self.factor * self.term.penalty(xp, z, x)

    def derivatives(self, xp, want, z, x, v, rows, weights):
        """Return the quantities ``want``: all are linear in the term; see `Term.derivatives`."""
        out = self.term.derivatives(xp, want, z, x, v, rows, weights)
        return {name: self._times(value) for name, value in out.items()}

    def _times(self, value):
        if isinstance(value, dict):
            return {name: self.factor * array for name, array in value.items()}
        return self.factor * value
