"""Many runs of one algorithm at once on torch: `torch.func.vmap` over state, steps and draws, in eager mode."""

import numpy as np
import torch
from torch.utils import _pytree as pytree

from benchmark_utils.backends.torch.inductor import CompiledTorchBackend
from benchmark_utils.oracles.ledger import ORACLES


class Counts:
    """Counts of many members, int64 of shape (members, 6)."""

    def __init__(self, totals):
        self.totals = totals

    def numpy(self):
        """Return the counts as a NumPy array."""
        return self.totals.cpu().numpy()


class VectorisedTorchBackend(CompiledTorchBackend):
    """The primitives of compiled torch, which are those that `torch.func.vmap` takes; nothing is compiled."""

    name = "torch"
    layout = "rows"

    def vectorised(self):
        """Return this backend."""
        return self

    def vectorises(self, solver):
        """Return whether a solver can run many members at once: not where it draws lengths or branches."""
        return bool(solver.static_graph)

    def stack(self, trees):
        """Return one tree with a leading axis."""
        return pytree.tree_map(lambda *a: torch.stack(a), *trees)

    def pack_members(self, draws, length):
        """Turn a NamedTuple of NumPy draws of shape (n, members, ...) into tensors."""
        return self.pack_draws(draws, length)

    def compile_members(self, step, state, hp, data, draws):
        """Return ``(advance, 0.0)``; see `backends.jax.members.compile_members`."""

        def one(state, hp, draws, active):
            new, counts = step(state, hp, data, draws)
            kept = pytree.tree_map(lambda a, b: torch.where(active, a, b), new, state)
            counts = [torch.as_tensor(c, device=self.device).to(torch.int64) for c in counts]
            return kept, torch.stack([active * c for c in counts])

        together = torch.func.vmap(one)

        @torch.no_grad()
        def advance(state, hp, data, draws, n, active):
            active = torch.from_numpy(np.asarray(active)).to(self.device)
            totals = torch.zeros((len(active), len(ORACLES)), dtype=torch.int64, device=self.device)
            x_before = state.x
            for k in range(n):
                before = state.x
                row = type(draws)(*(a[k] for a in draws))
                state, counts = together(state, hp, row, active)
                x_before, totals = before, totals + counts
            finite = torch.isfinite(state.z).all(dim=1) & torch.isfinite(state.x).all(dim=1)
            return state, x_before, Counts(totals), finite

        return advance, 0.0
