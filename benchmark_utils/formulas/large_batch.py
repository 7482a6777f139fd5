"""Averages over several mini-batches, called like one."""


class LargeBatches:
    """Oracles whose batches may be arrays of k mini-batches, over which they average; each is read and counted.

    Parameters
    ----------
    oracles : Oracles
    k : int
        Mini-batches in a large batch.
    """

    def __init__(self, oracles, k):
        self.oracles, self.k = oracles, k

    def __getattr__(self, name):
        function = getattr(self.oracles, name)
        if name not in ("grad_inner", "hvp", "cross", "inner_joint", "grad_outer"):
            return function

        def average(*arguments):
            *point, batches = arguments
            one = lambda i: function(*point, batches[i])
            first = one(0)
            if self.k == 1:
                return first
            if not isinstance(first, tuple | list):
                add = lambda i, total: total + one(i + 1)
                return self.oracles.repeat(self.k - 1, add, first) / self.k
            add = lambda i, total: tuple(a + b for a, b in zip(total, one(i + 1), strict=True))
            return tuple(a / self.k for a in self.oracles.repeat(self.k - 1, add, tuple(first)))

        return average
