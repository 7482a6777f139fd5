"""The backend ``torch``: eager mode.

It differentiates with `torch.autograd.grad` (a third of the cost of `torch.func` there) and draws block ids as Python
integers. The backend ``torch-compiled`` builds on it in `inductor`.
"""

import os
import types

import array_api_compat.torch as torch_namespace
import numpy as np
import torch
from torch.utils import _pytree as pytree

from benchmark_utils.oracles.blocks import Blocks
from benchmark_utils.oracles.ledger import ORACLES


def why_unavailable(backend, device):
    """Return a sentence if the device or the compiler cannot be had, else None."""
    if device == "cuda" and not torch.cuda.is_available():
        return "device is 'cuda' but torch sees no GPU; install a CUDA build of torch or choose device 'cpu'."
    return None


def make(backend, device, precision):
    """Return the backend object."""
    return TorchBackend(device, precision)


def _segment_sum(values, ids, n):
    return torch.zeros((n, *values.shape[1:]), dtype=values.dtype, device=values.device).index_add(0, ids, values)


def _until_still(function, start, n):
    """Return what ``function`` makes of a tensor, ``n`` times: to look if it has changed would wait for the device."""
    for _ in range(n):
        start = function(start)
    return start


def _take(a, ids, axis=0):
    return a.index_select(axis, ids)


def _conv3x3(images, kernels):
    channels_first = torch.nn.functional.conv2d(images.permute(0, 3, 1, 2), kernels.permute(3, 2, 0, 1), padding=1)
    return channels_first.permute(0, 2, 3, 1)


def _namespace():
    names = {name: getattr(torch_namespace, name) for name in dir(torch_namespace) if not name.startswith("_")}
    names |= {
        "sum": torch.sum,  # takes axis= too, without the wrapper's checks
        "take": _take,
        "logsumexp": torch.logsumexp,
        "segment_sum": _segment_sum,
        "until_still": _until_still,
        "add_rows": lambda table, ids, rows: table.index_add(0, ids, rows),
        "split_sizes": torch.split,
        "matvec": torch.matmul,
        "vecmat": torch.matmul,
        "conv3x3": _conv3x3,
        "to_device_of": lambda a, like: a.to(like.device),
    }
    return types.SimpleNamespace(**names)


class TorchBackend:
    """Primitives on eager torch. Iteration counters, block ids and hyper-parameters are Python numbers."""

    name = "torch"
    #: Whether operations run at once, so that arrays may be kept between calls.
    eager = True
    #: Whether `repeat` is a loop of the program; else it is unrolled, or made operation by operation.
    loops = False

    def __init__(self, device, precision):
        torch.set_float32_matmul_precision("highest")
        if "OMP_NUM_THREADS" not in os.environ:
            # Mini-batches are too small to share: on two cores the hand-over between threads made an iteration of
            # SOBA on digits_cleaning take 24 ms instead of 0.4.
            torch.set_num_threads(1)
        use_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
        self.device = torch.device("cuda" if use_gpu else "cpu")
        self.dtype = getattr(torch, precision)
        self.xp = _namespace()

    # ------------------------------------------------------------------ arrays
    def asarray(self, a):
        """Copy a NumPy array to the device; floating types take the working precision, integers int32, bytes stay."""
        a = np.asarray(a)
        whole = torch.uint8 if a.dtype == np.uint8 else torch.int32
        return torch.tensor(a, dtype=self.dtype if a.dtype.kind == "f" else whole, device=self.device)

    def to_numpy(self, a):
        """Copy an array to the host as float64."""
        return np.array(a.detach().cpu().numpy(), dtype=np.float64)

    def zeros(self, shape):
        """Return zeros in the working precision."""
        return torch.zeros(shape, dtype=self.dtype, device=self.device)

    def to_host(self, a):
        """Return a tensor as a NumPy array of its own type, a number as it is."""
        return a.detach().cpu().numpy().copy() if isinstance(a, torch.Tensor) else a

    def from_host(self, a):
        """Return on the device what `to_host` returned."""
        return torch.from_numpy(a.copy()).to(self.device) if isinstance(a, np.ndarray) else a

    def tree_map(self, function, tree):
        """Apply a function to every array of a tree."""
        return pytree.tree_map(function, tree)

    def scalar(self, value):
        """Return a hyper-parameter."""
        return float(value)

    def counter(self):
        """Return the iteration counter 0."""
        return 0

    def put(self, blocks):
        """Copy the `Blocks` of a level to the device."""
        return pytree.tree_map(self.asarray, Blocks(*blocks))

    def sync(self, tree):
        """Wait until every array of the tree has been computed."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    # ------------------------------------------------------------------ derivatives
    def grad(self, f, args, wrt):
        """Return the gradients of the scalar ``f(*args)`` with respect to the positions ``wrt``.

        Inside another derivative (arguments that require gradients) the graph is kept; otherwise it is dropped.
        """
        nested = any(a.requires_grad for a in args)
        with torch.enable_grad():
            args = [a.detach().requires_grad_() if i in wrt and not a.requires_grad else a for i, a in enumerate(args)]
            chosen = [args[i] for i in wrt]
            value = f(*args)
            if not value.requires_grad:  # it depends on none of them
                return tuple(map(torch.zeros_like, chosen))
            return torch.autograd.grad(value, chosen, create_graph=nested, materialize_grads=True)

    def vjp(self, f, args, v, wrt):
        """Return ``f(*args)`` and the pullbacks of v to the positions ``wrt``."""
        with torch.enable_grad():
            args = [a.detach().requires_grad_() if i in wrt else a for i, a in enumerate(args)]
            value, chosen = f(*args), [args[i] for i in wrt]
            if not value.requires_grad:
                return value, tuple(map(torch.zeros_like, chosen))
            pulled = torch.autograd.grad(value, chosen, v, materialize_grads=True)
        return value.detach(), pulled

    def vjp_rows(self, f, x, rows):
        """Return the pullbacks of the rows of a matrix through ``f`` at x, one a row."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(f(x), x, rows, is_grads_batched=True, materialize_grads=True)[0]

    def symmetric_product(self, f, z, v):
        """Return J v for a map f with symmetric Jacobian J (double backward)."""
        return self.vjp(f, (z,), v, (0,))[1][0]

    def evaluate(self, f, *args):
        """Return ``f(*args)``."""
        return f(*args)

    # ------------------------------------------------------------------ several points at once
    def at_points(self, ledger, function, points):
        """Evaluate at several points, whose rows are views that are read once; see `Oracles.at_points`."""
        return [function(*point) for point in points]

    def map_entries(self, ledger, function, entries, bytes_each):
        """Apply a function along the first axis; see `Oracles.vmap`."""
        results = [function(*entry) for entry in zip(*entries, strict=True)]
        return pytree.tree_map(lambda *rows: torch.stack(rows), *results)

    # ------------------------------------------------------------------ rows and control flow
    def row_get(self, table, i):
        """Return row i of a table (a view)."""
        return table[i]

    def row_set(self, table, i, row):
        """Return the table with row i replaced, in place."""
        table[i] = row
        return table

    def row_swap(self, table, i, row):
        """Return (row i of the table, the table with row i replaced)."""
        old = self.row_read(table, i)
        return old, self.row_set(table, i, row)

    def row_read(self, table, i):
        """Return row i of a table that is going to be written at i."""
        return self.row_get(table, i).clone()

    def select(self, pred, a, b):
        """Return a if pred else b, for scalars."""
        return a if pred else b

    def repeat(self, ledger, n, body, val):
        """Loop with exact counts; see `Oracles.repeat`."""
        for k in range(n):
            val = body(k, val)
        return val

    def cond(self, ledger, pred, on_true, on_false, operands, rare):
        """Branch with exact counts; see `Oracles.cond`."""
        return on_true(*operands) if pred else on_false(*operands)

    def map_blocks(self, ledger, n_blocks, function):
        """Apply a function to every block id; see `Oracles.map_blocks`."""
        return pytree.tree_map(lambda *rows: torch.stack(rows), *[function(i) for i in range(n_blocks)])

    # ------------------------------------------------------------------ programs
    def compile_once(self, function, *args):
        """Return ``(function, 0.0)``: nothing is compiled in eager mode."""
        return torch.no_grad()(function), 0.0

    def pack_draws(self, draws, length):
        """Turn a NamedTuple of NumPy draws into one tuple of draws per iteration."""
        lists = [a.tolist() if a.dtype.kind == "i" else list(self.asarray(a)) for a in draws]
        return [type(draws)(*row) for row in zip(*lists, strict=True)]

    def compile_chunk(self, step, state, hp, data, draws):
        """Return ``(advance, 0.0)``; see `JaxBackend.compile_chunk`."""

        @torch.no_grad()
        def advance(state, hp, data, draws, n):
            totals, x_before = [0] * len(ORACLES), state.x
            for row in draws[:n]:
                x_before = state.x
                state, counts = step(state, hp, data, row)
                totals = [total + count for total, count in zip(totals, counts, strict=True)]
            return state, x_before, totals, all_finite(state)

        return advance, 0.0

    def reversible(self):
        """Return the backend for steps that are differentiated in reverse: this one."""
        return self

    def vectorised(self):
        """Return the backend for programs of many members: tensors where this one has Python numbers."""
        from benchmark_utils.backends.torch.members import VectorisedTorchBackend

        return VectorisedTorchBackend(self.device.type, str(self.dtype).removeprefix("torch."))

    def peak_memory(self):
        """Return the most bytes of the device that tensors took so far in this process, or None on the CPU."""
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None

    def describe(self):
        """Return versions and settings for the environment record."""
        return {
            "torch": torch.__version__,
            "device": str(self.device),
            "matmul_precision": torch.get_float32_matmul_precision(),
            "torch_threads": torch.get_num_threads(),
        }


def all_finite(state):
    """Return whether z and x are finite, as a 0-d tensor."""
    return torch.isfinite(state.z).all() & torch.isfinite(state.x).all()
