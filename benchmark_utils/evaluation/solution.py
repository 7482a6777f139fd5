"""What an evaluator returns at one x."""

from typing import Any, NamedTuple

import numpy as np


class Solution(NamedTuple):
    """Exact quantities at one x, float64.

    With tasks z and v are tables (n_tasks, p) in the problem's own order of rows, and residual is the largest over
    tasks.

    Accuracy: ``‖z - z*‖ <= residual / mu`` with mu the strong convexity of G in z.
    """

    z: np.ndarray  # z*(x), shape (p,)
    v: np.ndarray  # -H^{-1} grad_z F at z*, shape (p,)
    # F(z*(x), x), corrected to first order for the residual: F(z) + <v, grad_z G(z, x)>; NaN where it was given up
    h: float
    gradient: np.ndarray  # grad h(x), shape (d,)
    residual: float  # ‖grad_z G(z, x)‖ reached
    frozen: Any = None  # preconditioner for the next solve
