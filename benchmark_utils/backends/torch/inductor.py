"""The backend ``torch-compiled``: ``torch.compile`` with full graphs.

It differentiates with `torch.func` and keeps counters, block ids and hyper-parameters as tensors.
"""

import shutil
import time

import numpy as np
import torch
from torch.utils import _pytree as pytree

from benchmark_utils.backends import at_positions
from benchmark_utils.backends.torch import eager
from benchmark_utils.backends.torch.eager import TorchBackend, all_finite
from benchmark_utils.oracles.blocks import SHORT, are_short, by_columns
from benchmark_utils.oracles.ledger import ORACLES

#: Iterations of a single-loop method unrolled into one compiled graph.
UNROLL = 8


def why_unavailable(backend, device):
    """Return a sentence if the device or the compiler cannot be had, else None."""
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        return f"the backend {backend} needs a C++ compiler; install g++ or choose the backend torch."
    return eager.why_unavailable(backend, device)


def make(backend, device, precision):
    """Return the backend object."""
    return CompiledTorchBackend(device, precision)


def matvec(A, z):
    """Return A z; for short rows a sum of products, which Inductor fuses with the reading of the rows."""
    return (A * z).sum(1) if A.shape[1] <= SHORT else A @ z


def vecmat(r, A):
    """Return A^T r; for short rows a sum of products, see `matvec`."""
    return (r[:, None] * A).sum(0) if are_short(*A.shape) else r @ A


class CompiledTorchBackend(TorchBackend):
    """Primitives under ``torch.compile(fullgraph=True)``: counters, ids and hyper-parameters are tensors."""

    name = "torch-compiled"
    #: Whether operations run at once, so that arrays may be kept between calls.
    eager = False
    #: How `put` lays blocks out: copies of another layout are not shared.
    layout = "columns"

    def __init__(self, device, precision):
        super().__init__(device, precision)
        if self.device.type != "cpu":
            self.layout = "rows"
        if self.layout == "columns":
            self.xp.matvec, self.xp.vecmat = matvec, vecmat

    def put(self, blocks):
        """Copy the `Blocks` of a level to the device, short rows by columns."""
        return super().put(by_columns(blocks) if self.layout == "columns" else blocks)

    def scalar(self, value):
        """Return a hyper-parameter as a 0-d tensor in the working precision."""
        return self.asarray(np.float64(value))

    def counter(self):
        """Return the iteration counter 0 as a 0-d int64 tensor."""
        return torch.zeros((), dtype=torch.int64, device=self.device)

    def grad(self, f, args, wrt):
        """Return the gradients of the scalar ``f(*args)`` with respect to the positions ``wrt``."""
        return torch.func.grad(f, argnums=wrt)(*args)

    def vjp(self, f, args, v, wrt):
        """Return ``f(*args)`` and the pullbacks of v to the positions ``wrt``."""
        value, pullback = torch.func.vjp(at_positions(f, args, wrt), *(args[i] for i in wrt))
        return value, pullback(v)

    def vjp_rows(self, f, x, rows):
        """Return the pullbacks of the rows of a matrix through ``f`` at x, one a row."""
        return torch.func.vmap(torch.func.vjp(f, x)[1])(rows)[0]

    def row_get(self, table, i):
        """Return row i of a table; i is a tensor in compiled code and an integer during initialisation."""
        return table[i] if isinstance(i, int) else table.index_select(0, i.reshape(1))[0]

    def row_set(self, table, i, row):
        """Return the table with row i replaced; i is an integer in unrolled loops."""
        i = torch.as_tensor(i, dtype=torch.int64, device=self.device)
        return table.index_copy(0, i.reshape(1), row[None])

    def select(self, pred, a, b):
        """Return a if pred else b, for scalars."""
        return (a if pred else b) if isinstance(pred, bool) else torch.where(pred, a, b)

    def repeat(self, ledger, n, body, val):
        """Loop with exact counts, unrolled into the graph; n must be a Python integer."""
        if not isinstance(n, int):
            raise ValueError("torch-compiled unrolls loops, so it needs their length; use the backend torch or jax.")
        return super().repeat(ledger, n, body, val)

    def pack_draws(self, draws, length):
        """Turn a NamedTuple of NumPy draws into tensors of shape (n, ...); integers become int64."""
        as_tensor = lambda a: torch.from_numpy(a).to(self.device) if a.dtype.kind == "i" else self.asarray(a)
        return type(draws)(*(as_tensor(a.astype(np.int64) if a.dtype.kind == "i" else a) for a in draws))

    def compile_chunk(self, step, state, hp, data, draws):
        """Compile graphs of 1 and, for single-loop methods, `UNROLL` iterations; see `JaxBackend.compile_chunk`."""
        names = type(draws)

        def unrolled(length):
            def run(state, hp, data, draws):
                totals, x_before = [0] * len(ORACLES), state.x
                for k in range(length):
                    x_before = state.x
                    state, counts = step(state, hp, data, names(*(a[k] for a in draws)))
                    totals = [total + count for total, count in zip(totals, counts, strict=True)]
                return state, x_before, totals

            return torch.compile(run, fullgraph=True, dynamic=False)

        calls = sum(a[0].numel() for a in draws)
        lengths = [UNROLL, 1] if calls <= 4 else [1]
        start = time.perf_counter()
        torch._dynamo.reset()
        programs = {}
        with torch.no_grad():
            for length in lengths:
                programs[length] = unrolled(length)
                example = names(*(a[:1].repeat(length, *[1] * (a.ndim - 1)) for a in draws))
                programs[length](pytree.tree_map(torch.clone, state), hp, data, example)
        seconds = time.perf_counter() - start

        @torch.no_grad()
        def advance(state, hp, data, draws, n):
            totals, x_before, done = [0] * len(ORACLES), state.x, 0
            while done < n:
                length = next(k for k in lengths if k <= n - done)
                state, x_before, counts = programs[length](
                    state, hp, data, names(*(a[done : done + length] for a in draws))
                )
                totals = [total + count for total, count in zip(totals, counts, strict=True)]
                done += length
            return state, x_before, totals, all_finite(state)

        return advance, seconds
