"""How much memory the state of a step function takes, from the roles of its fields, and what a run has taken."""

import contextlib
import sys
from pathlib import Path

import numpy as np
import psutil

from benchmark_utils.oracles.draws import bytes_of

#: Bytes that the draws of one iteration may take.
DRAWS = 1 << 28

#: Share of the machine's memory that a solver's state may take.
MEMORY_SHARE = 0.5


def sizes_of(view, partitions):
    """Return dict of the sizes that roles refer to: "z", "x", and the numbers of blocks "inner" and "outer"."""
    blocks = {level: part.n_blocks for level, part in partitions.items()}
    return {"z": view.inner_size, "x": view.outer_size, **blocks}


def state_bytes(roles, view, partitions, itemsize):
    """Return dict of field to the bytes that it takes on the device."""
    sizes, tasks = sizes_of(view, partitions), 1
    if view.tasks is not None:
        part = partitions["inner"]
        tasks = part.batch_size * (part.n_blocks if view.tasks.warm else 1)
    out = {}
    for name, role in roles.items():
        count = float(np.prod(role.shape(sizes), dtype=float))
        out[name] = int(itemsize * count * (tasks if role.axes == ("z",) else 1))
    return out


def why_too_large(name, roles, view, partitions, itemsize):
    """Return a sentence if the state does not fit into half of the memory, else None."""
    fields = state_bytes(roles, view, partitions, itemsize)
    need, have = sum(fields.values()) / 2**30, MEMORY_SHARE * psutil.virtual_memory().total / 2**30
    if need <= have:
        return None
    largest = max(fields, key=fields.get)
    shape = " x ".join(map(str, roles[largest].shape(sizes_of(view, partitions))))
    return (
        f"{name} keeps {need:.1f} GiB of state ({largest} alone {shape} numbers, {fields[largest] / 2**30:.1f} GiB), "
        f"more than half of the memory ({have:.1f} GiB); raise batch_size or use a method that keeps less, such as "
        "SOBA."
    )


def why_too_much_at_once(solver, view, partitions):
    """Return a sentence if what one iteration keeps of its rows does not fit into half of the memory, else None."""
    n, have = partitions["inner"].batch_size, MEMORY_SHARE * psutil.virtual_memory().total
    each = solver.itemsize * view.inner.kept_numbers(view.rows["inner"])
    if n * each <= have:
        return None
    fits = int(have / each)
    advice = f"a batch_size of {fits:,} fits" if fits else "take a smaller network"
    return (
        f"{solver.name} passes {n:,} tasks through the network in one iteration and keeps some "
        f"{n * each / 2**30:,.1f} GiB of what its layers return, more than half of the memory "
        f"({have / 2**30:.1f} GiB); {advice}."
    )


def why_too_many_draws(name, plan):
    """Return a sentence if the draws of one iteration (dict of role to `Draw`) take too much memory, else None."""
    largest = max(plan, key=lambda role: bytes_of(plan[role]), default=None)
    if largest is None or bytes_of(plan[largest]) <= DRAWS:
        return None
    shape, need = " x ".join(f"{n:,}" for n in plan[largest].shape), bytes_of(plan[largest]) / 2**20
    return (
        f"{name} draws {shape} numbers ({largest}) in one iteration, {need:,.0f} MiB; the limit is {DRAWS >> 20} MiB."
    )


def forget_peak():
    """Let the peak of this process's resident memory begin anew, where the system allows it (Linux)."""
    with contextlib.suppress(OSError):
        if sys.platform == "linux":
            Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def peak_memory(bk):
    """Return the most bytes taken: of the device where it tells, else resident in this process.

    The device's peak is that of the process so far. The resident one begins anew with each run on Linux; it holds
    everything in the process: frameworks, data, the evaluator.

    Parameters
    ----------
    bk : backend object
    """
    of_device = bk.peak_memory()
    if of_device is not None:
        return int(of_device)
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM"):  # kB
                return 1024 * int(line.split()[1])
    info = psutil.Process().memory_info()
    return int(getattr(info, "peak_wset", info.rss))
