"""Separable lower levels: z is a table with one row for each task (an image, an episode)."""

import dataclasses


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
