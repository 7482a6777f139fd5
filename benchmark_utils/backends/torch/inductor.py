"""The backend ``torch-compiled``: ``torch.compile`` with full graphs, the loop of iterations inside.

It differentiates with `torch.func` and keeps counters, block ids and hyper-parameters as tensors.
"""

import shutil
import time

import numpy as np
import torch
from torch._higher_order_ops.while_loop import while_loop
from torch.utils import _pytree as pytree

from benchmark_utils.backends import at_positions
from benchmark_utils.backends.torch import eager
from benchmark_utils.backends.torch.eager import TorchBackend, all_finite
from benchmark_utils.oracles.blocks import SHORT, are_short, by_columns

#: Iterations of a single-loop method in one trip of the compiled loop.
UNROLL = 4

#: Of Inductor: the loop is written in C++, and checks nothing that always holds here.
OPTIONS = {"cpp_wrapper": True, "size_asserts": False, "assert_indirect_indexing": False}


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
        """Pad a NamedTuple of NumPy draws to ``length`` iterations, as tensors; integers become int64."""

        def pad(a):
            whole = a.dtype.kind == "i"
            out = torch.zeros((length, *a.shape[1:]), dtype=torch.int64 if whole else self.dtype)
            out[: len(a)] = torch.from_numpy(a)
            return out.to(self.device)

        return type(draws)(*map(pad, draws))

    def compile_chunk(self, step, state, hp, data, draws):
        """Compile a loop of outer iterations, see `JaxBackend.compile_chunk`; the loop is part of the graph.

        A trip of it makes `UNROLL` iterations of a single-loop method, or one; what remains is done one by one.
        """
        names, structure = type(draws), pytree.tree_structure(state)
        at = lambda draws, k: names(*(a.index_select(0, k.reshape(1))[0] for a in draws))
        lengths = [UNROLL, 1] if sum(a[0].numel() for a in draws) <= 4 else [1]
        zero = torch.zeros((), dtype=torch.int64, device=self.device)
        start = time.perf_counter()
        with torch.no_grad():
            each = step(state, hp, data, at(draws, zero))[1]
        drawn = [i for i, count in enumerate(each) if isinstance(count, torch.Tensor)]  # counts that the draws decide

        def chunk(state, hp, data, draws, n):
            def trip(length, k, x_before, totals, *tensors):
                state = pytree.tree_unflatten(tensors, structure)
                for _ in range(length):
                    x_before = state.x
                    state, counts = step(state, hp, data, at(draws, k))
                    totals = [total + counts[i] for total, i in zip(totals, drawn, strict=True)]
                    k = k + 1
                return fresh((k, x_before, totals, *pytree.tree_leaves(state)))

            none = torch.zeros_like(n)
            carry = fresh((none, state.x, [none] * len(drawn), *pytree.tree_leaves(state)))
            for length in lengths:
                more = lambda k, *_, length=length: k + length <= n
                carry = while_loop(more, lambda *carry, length=length: trip(length, *carry), carry)
            _, x_before, totals, *tensors = carry
            state = pytree.tree_unflatten(tensors, structure)
            return state, x_before, totals, all_finite(state)

        torch._dynamo.reset()
        program = torch.compile(chunk, fullgraph=True, dynamic=False, options=OPTIONS)

        @torch.no_grad()
        def advance(state, hp, data, draws, n):
            number = torch.as_tensor(n, device=self.device)
            state, x_before, totals, finite = program(state, hp, data, draws, number)
            counts = [n * count if i not in drawn else totals[drawn.index(i)] for i, count in enumerate(each)]
            return state, x_before, counts, finite

        advance(state, hp, data, draws, 1)
        return advance, time.perf_counter() - start


def fresh(tree):
    """Return copies of all arrays of a tree: a loop of a graph may return nothing twice, and none of its inputs."""
    return pytree.tree_map(torch.clone, tree)
