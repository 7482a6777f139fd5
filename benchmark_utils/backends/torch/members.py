"""Many runs of one algorithm at once on torch: `torch.func.vmap` over state and steps, in eager mode."""

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

    def copies(self, tree, n):
        """Return ``n`` copies of a tree along a new first axis."""
        return pytree.tree_map(lambda a: torch.stack([a] * n), tree)

    def compile_members(self, step, state, hp, data, draws):
        """Return ``(advance, 0.0)``; see `backends.jax.members.compile_members`."""

        def one(state, hp, draws):
            new, counts = step(state, hp, data, draws)
            counts = [torch.as_tensor(c, device=self.device).to(torch.int64) for c in counts]
            return new, torch.stack(counts)

        together = torch.func.vmap(one, in_dims=(0, 0, None))
        n_members = len(state.x)

        @torch.no_grad()
        def advance(state, hp, data, draws, n):
            totals = torch.zeros((n_members, len(ORACLES)), dtype=torch.int64, device=self.device)
            x_before = state.x
            for k in range(n):
                x_before = state.x
                state, counts = together(state, hp, type(draws)(*(a[k] for a in draws)))
                totals = totals + counts
            finite = torch.isfinite(state.z).all(dim=1) & torch.isfinite(state.x).all(dim=1)
            return state, x_before, Counts(totals), finite

        return advance, 0.0
