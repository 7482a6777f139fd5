"""Oracles that listen where an outer direction is taken, for the split of its error."""

import contextlib

from benchmark_utils.oracles.oracles import Oracles


class ListeningOracles(Oracles):
    """Oracles that keep the last z at which the gradient of F was asked for at x, and the last v of a cross product.

    A method takes ``d = C v + grad_x F`` at some z and v, of its state or on the way, and asks for both terms there.
    What is asked at another x (old points of variance reduction) is not of this direction. A loop or a branch that a
    compiler traces keeps its arrays to itself; its body is called once more outside, where what it has from outside is
    heard. A compiler drops what that computes.

    Parameters
    ----------
    backend, spec, data
        As of `Oracles`.
    x : array of the backend
        The x of the state; arrays are compared by identity.

    Attributes
    ----------
    z : array or None
        Where grad_x F was asked for.
    z_and_v : tuple or None
        Where the cross product was.
    """

    def __init__(self, backend, spec, data, x):
        super().__init__(backend, spec, data)
        self.x, self.z, self.z_and_v, self._deaf = x, None, None, False

    def v(self):
        """Return the v that belongs to ``z``, or None where the cross product was not asked for at that z."""
        return self.z_and_v[1] if self.z_and_v is not None and self.z_and_v[0] is self.z else None

    def _ask(self, level, names, z, x, v, batch, ticks, times=1):
        if x is self.x and not self._deaf:
            if "cross" in names:
                self.z_and_v = z, v
            if level == "outer" and "grad_x" in names:
                self.z = z
        return super()._ask(level, names, z, x, v, batch, ticks, times)

    def cross_mean(self, z, x, v, batches, n):
        """Return the mean of C v over several batches; heard as one cross product."""
        if not self._deaf and x is self.x:
            self.z_and_v = z, v
        with self._not_listening():
            return super().cross_mean(z, x, v, batches, n)

    @contextlib.contextmanager
    def _not_listening(self):
        before, self._deaf = self._deaf, True
        yield
        self._deaf = before

    # ------------------------------------------------------------------ several points, loops and branches
    def at_points(self, function, *points):
        """Return ``[function(*point) for point in points]``, one by one."""
        return [function(*point) for point in points]

    def vmap(self, function, *entries):
        """Return ``function`` of each entry; nothing in it is heard."""
        with self._not_listening():
            return super().vmap(function, *entries)

    def repeat(self, n, body, val):
        """Return val after ``n`` calls of ``body``."""
        if self.bk.eager:
            return super().repeat(n, body, val)
        with self._not_listening():
            out = super().repeat(n, body, val)
        if not (isinstance(n, int) and n == 0):
            body(0, val)
        return out

    def cond(self, pred, on_true, on_false, *operands, rare=False):
        """Return the result of the branch taken; both are heard, since the other one may say more of the same point."""
        if self.bk.eager:
            (on_false if pred else on_true)(*operands)
            return super().cond(pred, on_true, on_false, *operands, rare=rare)
        with self._not_listening():
            out = super().cond(pred, on_true, on_false, *operands, rare=rare)
        on_false(*operands)
        on_true(*operands)
        return out

    def map_blocks(self, level, function):
        """Return ``function`` of every block; nothing in it is heard."""
        with self._not_listening():
            return super().map_blocks(level, function)
