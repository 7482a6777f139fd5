"""The ledger: what a run has cost, in samples, counted where the work is done.

One unit is one sample visited by one oracle. A block of 64 rows costs 64, the ragged last block costs
the rows it really holds, a full pass costs all rows. The counts are Python integers as long as they are
known when the step is traced and become traced integers where a length or a branch is drawn at run time.
"""

#: Names of the counted oracles, in the order of the vector returned by `Ledger.vector`.
ORACLES = ("grad_inner", "grad_inner_x", "grad_outer", "hvp", "cross", "value")


class Ledger:
    """Counter of samples, one entry per oracle.

    Attributes
    ----------
    counts : dict of str to int
        Samples visited so far by each oracle of `ORACLES` (possibly traced integers).
    """

    def __init__(self):
        self.counts = dict.fromkeys(ORACLES, 0)

    def tick(self, name, n_samples):
        """Add ``n_samples`` samples to the count of the oracle ``name``."""
        before = self.counts[name]
        # The first count is kept as it is, so that oracles that visit the same rows share one traced number.
        self.counts[name] = n_samples if isinstance(before, int) and before == 0 else before + n_samples

    def spent_in(self, body):
        """Run ``body()`` and return ``(its result, the counts it added)``, leaving the ledger as it was."""
        before, self.counts = self.counts, dict.fromkeys(ORACLES, 0)
        try:
            return body(), self.counts
        finally:
            self.counts = before

    def add(self, counts, times=1):
        """Add ``times`` times the dict ``counts``; ``times`` may be a traced integer."""
        for name, count in counts.items():
            if not (isinstance(count, int) and count == 0):
                self.counts[name] = self.counts[name] + times * count

    def vector(self):
        """Return the counts as a tuple in the order of `ORACLES`."""
        return tuple(self.counts[name] for name in ORACLES)
