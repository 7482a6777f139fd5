"""Separable lower levels: z is a table with one row for each task (an image, an episode)."""

import dataclasses
from typing import Any, NamedTuple

import psutil

#: Share of the machine's memory that the list of tasks, or the table of their z, may take.
MEMORY_SHARE = 0.5


@dataclasses.dataclass(frozen=True)
class Tasks:
    """How a program treats the tasks of a problem.

    Row i of both levels is task i. Each outer iteration draws one block of tasks; the rows of every inner field of
    the state are gathered before the step and scattered after it (warm start), or start at zero and are forgotten
    (cold). G and F are means over the drawn tasks, and z-space carries the inner product averaged over them, so that
    grad_z G, H v and grad_z F are those of each task and C v is a mean. Inside a task everything is deterministic:
    every batch of an iteration is the drawn block. One sample of the ledger is one task.

    Attributes
    ----------
    warm : bool
        Whether a task's row of z (and of v, ...) is kept until the task is drawn again.
    """

    warm: bool = True


class Adaptation(NamedTuple):
    """How a new task is learned: gradient steps on its G."""

    start: Any  # z before the first step, shape (p,)
    step_size: float
    n_steps: int
    of_x: bool = False  # whether the task moves a copy of x as well (MAML)


def why_too_many(n_tasks, numbers, what, itemsize, have=None):
    """Return a sentence if something that is kept for each task does not fit into half of the memory, else None.

    Parameters
    ----------
    n_tasks, numbers : int
        Tasks, and numbers kept for each.
    what : str
        What is kept.
    itemsize : int
        Bytes of a number.
    have : int, optional
        Bytes of memory; those of the machine where left out.
    """
    need = n_tasks * numbers * itemsize
    have = MEMORY_SHARE * (psutil.virtual_memory().total if have is None else have)
    if need <= have:
        return None
    return (
        f"{what} of {n_tasks:,} tasks takes {need / 1e9:,.0f} GB ({numbers:,} numbers of {itemsize} bytes a task), "
        f"more than half of the memory ({have / 1e9:,.1f} GB); take fewer tasks (n_tasks)"
    )
